//! Does the start of a container cost more in a program with much memory? Creates and deletes containers of a bundle
//! in turns: with a small heap, then with 2 GiB of touched heap.
//!
//! `start_cost BUNDLE [ROUNDS]`, as root.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use orlop::{Bundle, CreateOptions, Deadline, Delete, Error, Runtime, Stdio};

const HEAP: usize = 2 << 30;

fn median_create(runtime: &Runtime, bundle: &Bundle, rounds: u32) -> Result<Duration, Error> {
    let mut times = Vec::new();
    for round in 0..rounds {
        let id = format!("start-cost-{}-{round}", std::process::id());
        let prepared = runtime.prepare(&id, bundle.clone(), CreateOptions::new())?;
        let began = Instant::now();
        let created = runtime.create(prepared, Stdio::inherit(), Deadline::never())?;
        times.push(began.elapsed());
        created.container.delete(Delete::Force, Deadline::never())?;
    }
    times.sort();
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let bundle = Bundle::open(args.next().ok_or("usage: start_cost BUNDLE [ROUNDS]")?)?;
    let rounds = args.next().map_or(Ok(100), |rounds| rounds.parse())?;
    let runtime = Runtime::builder().root("/run/orlop-start-cost").build()?;

    let mut ratios = Vec::new();
    let mut out = std::io::stdout().lock();
    for _ in 0..3 {
        let small = median_create(&runtime, &bundle, rounds)?;
        let heap = std::hint::black_box(vec![1u8; HEAP]);
        let large = median_create(&runtime, &bundle, rounds)?;
        drop(heap);
        ratios.push(large.as_secs_f64() / small.as_secs_f64());
        writeln!(out, "create: {small:?} small, {large:?} with 2 GiB")?;
    }
    ratios.sort_by(f64::total_cmp);
    writeln!(out, "ratio {:.2} (middle of {})", ratios[ratios.len() / 2], ratios.len())?;
    Ok(())
}
