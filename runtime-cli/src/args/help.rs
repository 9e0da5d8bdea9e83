//! Help texts, made from the definitions.

use super::Flag;
use crate::commands::{Command, GROUPS};

/// Help of one command.
pub fn command_help(command: &Command) -> String {
    let mut text = format!("{}\n\nUsage: orlop {}\n", command.about, command.usage);
    if !command.details.is_empty() {
        text.push_str(&format!("\n{}\n", command.details.trim_end()));
    }
    push_flags(&mut text, "Options", command.flags);
    text
}

/// Help of the program.
pub fn program_help(global: &[&'static Flag], commands: &[&Command]) -> String {
    let mut text = String::from(
        "orlop turns an OCI bundle into an isolated process.\n\n\
         Usage: orlop [GLOBAL OPTIONS] COMMAND [OPTIONS] [ARGUMENTS]\n",
    );
    for (group, title) in GROUPS {
        push_line(&mut text, &format!("\n{title}:"));
        for command in commands.iter().filter(|command| command.group == *group) {
            push_line(&mut text, &format!("  {:<12} {}", command.name, command.about));
        }
    }
    push_flags(&mut text, "Global options (before the command)", global);
    push_line(&mut text, "\n`orlop COMMAND --help` tells more about a command.");
    text
}

fn push_flags(text: &mut String, title: &str, flags: &[&'static Flag]) {
    if flags.is_empty() {
        return;
    }
    push_line(text, &format!("\n{title}:"));
    let names: Vec<String> = flags.iter().map(|flag| flag_names(flag)).collect();
    let width = names.iter().map(String::len).max().unwrap_or(0);
    for (flag, names) in flags.iter().zip(names) {
        push_line(text, &format!("  {names:<width$}  {}", flag.help));
    }
}

fn flag_names(flag: &Flag) -> String {
    let mut names = flag.short.map(|short| format!("-{short}, ")).unwrap_or_default();
    names.push_str("--");
    names.push_str(flag.name);
    if let Some(value) = flag.value {
        names.push(' ');
        names.push_str(value);
    }
    names
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}
