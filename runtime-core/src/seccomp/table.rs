//! Numbers of system calls by name. `syscalls.txt` is taken apart by the compiler: at run time there are only constant
//! arrays, of which a look-up touches a few cache lines of names and one column.

/// An own column of numbers; architectures that differ in byte order or base share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    X86_64,
    X86,
    X32,
    Arm,
    Aarch64,
    Riscv64,
    Loongarch64,
    Mips,
    Mips64,
    Mips64N32,
    Ppc,
    Ppc64,
    S390,
    S390x,
}

const COLUMNS: usize = Column::S390x as usize + 1;
const TEXT: &[u8] = include_bytes!("syscalls.txt");
const ROWS: usize = count().0;
const LETTERS: usize = count().1;
const NONE: u16 = u16::MAX;
/// ARM's private calls begin at 0xf0000; in the table at this.
const ARM_PRIVATE: u16 = 0xf000;

struct Table {
    /// All names in a row, sorted.
    letters: [u8; LETTERS],
    /// Where each name begins; the last is where all end.
    starts: [u16; ROWS + 1],
    numbers: [[u16; ROWS]; COLUMNS],
}

static TABLE: Table = parse();

/// A row of the table: a name that some architecture knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row(u16);

/// Finds a name.
pub(super) fn row(name: &str) -> Option<Row> {
    let (mut from, mut to) = (0, ROWS);
    while from < to {
        let middle = usize::midpoint(from, to);
        match text(middle).cmp(name.as_bytes()) {
            std::cmp::Ordering::Less => from = middle + 1,
            std::cmp::Ordering::Greater => to = middle,
            std::cmp::Ordering::Equal => return u16::try_from(middle).ok().map(Row),
        }
    }
    None
}

fn text(row: usize) -> &'static [u8] {
    &TABLE.letters[usize::from(TABLE.starts[row])..usize::from(TABLE.starts[row + 1])]
}

impl Row {
    pub(super) fn name(self) -> &'static str {
        std::str::from_utf8(text(usize::from(self.0))).unwrap_or_default()
    }

    /// The number in a column, without the base of the architecture; None where it has no such call.
    pub(super) fn number(self, column: Column) -> Option<u32> {
        match TABLE.numbers[column as usize][usize::from(self.0)] {
            NONE => None,
            private @ ARM_PRIVATE.. => Some(0xf_0000 + u32::from(private - ARM_PRIVATE)),
            number => Some(u32::from(number)),
        }
    }

    /// All rows, in the order of their names.
    #[cfg(test)]
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..ROWS).filter_map(|row| u16::try_from(row).ok()).map(Self)
    }
}

const fn is_comment(at: usize) -> bool {
    TEXT[at] == b'#'
}

const fn line_end(mut at: usize) -> usize {
    while TEXT[at] != b'\n' {
        at += 1;
    }
    at
}

/// How many names there are, and of how many letters together.
const fn count() -> (usize, usize) {
    let (mut rows, mut letters, mut at) = (0, 0, 0);
    while at < TEXT.len() {
        let end = line_end(at);
        if !is_comment(at) {
            rows += 1;
            while TEXT[at] != b' ' {
                letters += 1;
                at += 1;
            }
        }
        at = end + 1;
    }
    (rows, letters)
}

const fn parse() -> Table {
    let mut table = Table { letters: [0; LETTERS], starts: [0; ROWS + 1], numbers: [[NONE; ROWS]; COLUMNS] };
    let (mut row, mut letter, mut at) = (0, 0, 0);
    while at < TEXT.len() {
        if is_comment(at) {
            at = line_end(at) + 1;
            continue;
        }
        while TEXT[at] != b' ' {
            table.letters[letter] = TEXT[at];
            letter += 1;
            at += 1;
        }
        table.starts[row + 1] = letter as u16;
        let mut column = 0;
        while column < COLUMNS {
            // Over the space before it.
            at += 1;
            if TEXT[at] == b'-' {
                at += 1;
            } else {
                let mut number = 0;
                while TEXT[at].is_ascii_digit() {
                    number = number * 10 + (TEXT[at] - b'0') as u16;
                    at += 1;
                }
                table.numbers[column][row] = number;
            }
            column += 1;
        }
        assert!(TEXT[at] == b'\n', "a line of syscalls.txt has as many numbers as there are columns");
        at += 1;
        row += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{Column, Row, row};

    #[test]
    fn names_are_sorted_and_found() {
        let names: Vec<_> = Row::all().map(Row::name).collect();
        assert!(names.is_sorted() && names.len() > 500, "{}", names.len());
        for name in &names {
            assert_eq!(row(name).map(Row::name), Some(*name));
        }
        for name in ["", "aaa", "zzz", "rea", "readx"] {
            assert_eq!(row(name), None, "{name}");
        }
    }

    #[test]
    fn numbers_are_those_of_the_kernel() {
        let number = |name, column| row(name).and_then(|row| row.number(column));
        assert_eq!(number("read", Column::X86_64), Some(0));
        assert_eq!(number("close", Column::X86_64), Some(3));
        assert_eq!(number("socketcall", Column::X86), Some(102));
        assert_eq!(number("socketcall", Column::X86_64), None);
        assert_eq!(number("execve", Column::X32), Some(520));
        assert_eq!(number("set_tls", Column::Arm), Some(0xf0005));
        assert_eq!(number("rt_sigreturn", Column::Aarch64), Some(139));
        assert_eq!(number("ipc", Column::S390x), Some(117));
    }
}
