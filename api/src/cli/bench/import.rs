//! `impresario bench import`: importing a table into an empty directory.

use std::{
    fmt,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use clap::Args;
use serde::Serialize;

use super::in_directory;
use crate::{
    bench::{Watch, disk_bytes, processor_of_children, rss_mib_of},
    cli::{CommandError, output::Output},
};

/// Pause between two looks at the memory of an import.
const LOOK_EVERY: Duration = Duration::from_millis(5);
const START_S: u64 = 1_735_689_600;

/// The arguments of `bench import`.
#[derive(Args, Clone, Debug)]
pub struct ImportArgs {
    /// Rows of a table of orders
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// People they are of
    #[arg(long, default_value_t = 100_000)]
    profiles: u64,
    /// The CDNOW master file, imported too, on the data's own clock
    #[arg(long, value_name = "FILE")]
    cdnow: Option<PathBuf>,
    /// Where the data lies meanwhile; it is removed at the end [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// What `bench import` found.
#[derive(Debug, Serialize)]
struct Report {
    /// A tenth of the rows, of as many people: what the rest adds to memory is for the rows alone.
    tenth: Imported,
    table: Imported,
    #[serde(skip_serializing_if = "Option::is_none")]
    cdnow: Option<Imported>,
}

/// One import.
#[derive(Debug, Serialize)]
struct Imported {
    rows: u64,
    seconds: f64,
    /// Of all of its threads.
    processor_s: f64,
    rows_per_s: f64,
    rss_mib_max: u64,
    disk_mib: u64,
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, seconds, processor_s, rss_mib_max, disk_mib, .. } = self;
        write!(
            f,
            "{rows} rows in {seconds:.2} s ({processor_s:.2} s of processor time), {rss_mib_max} MiB of memory, {disk_mib} MiB of disk"
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.tenth)?;
        write!(f, "{}", self.table)?;
        self.cdnow.iter().try_for_each(|cdnow| write!(f, "\nCDNOW: {cdnow}"))
    }
}

pub(super) fn run(args: &ImportArgs, output: &Output) -> Result<(), CommandError> {
    let report = in_directory(args.directory.as_deref(), |directory| measure(args, directory))?;
    output.answer(&report);
    Ok(())
}

fn measure(args: &ImportArgs, directory: &Path) -> Result<Report, CommandError> {
    let flags = [
        "--user=customer",
        "--time=time",
        "--time-format=s",
        "--event=Order Completed",
        "--property=revenue=total",
        "--property=currency=currency",
        "--property=order_id=order",
    ];
    let table = |rows: u64, name: &str| {
        let file = directory.join(format!("{name}.csv"));
        write_table(&file, rows, args.profiles)
            .map_err(|error| CommandError::Io { what: format!("write {}", file.display()), error })?;
        import(&file, rows, &directory.join(name), &flags)
    };
    let tenth = table(args.rows / 10, "tenth")?;
    let whole = table(args.rows, "table")?;
    let cdnow = args.cdnow.as_ref().map(|file| {
        let flags = [
            "--clock=data",
            "--user=1",
            "--time=2",
            "--time-format=%Y%m%d",
            "--event=Order Completed",
            "--property=revenue=4",
            "--property=quantity=3",
        ];
        let text = std::fs::read_to_string(file)
            .map_err(|error| CommandError::Io { what: format!("read {}", file.display()), error })?;
        let rows = text.lines().filter(|line| !line.trim().is_empty()).count();
        import(file, rows as u64, &directory.join("cdnow"), &flags)
    });
    Ok(Report { tenth, table: whole, cdnow: cdnow.transpose()? })
}

fn write_table(file: &Path, rows: u64, people: u64) -> std::io::Result<()> {
    let mut out = BufWriter::new(std::fs::File::create(file)?);
    writeln!(out, "order,customer,time,total,currency")?;
    let mut state = 7_u64;
    for row in 0..rows {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (customer, cents) = ((state >> 33) % people.max(1), (state >> 17) % 20_000 + 500);
        let (euros, cents, time) = (cents / 100, cents % 100, START_S + row * 30);
        writeln!(out, "o{row},c{customer},{time},{euros}.{cents:02},EUR")?;
    }
    out.flush()
}

fn import(file: &Path, rows: u64, data: &Path, flags: &[&str]) -> Result<Imported, CommandError> {
    let io = |what: &'static str| move |error| CommandError::Io { what: what.into(), error };
    let program = std::env::current_exe().map_err(io("find this program"))?;
    let mut command = Command::new(program);
    command.arg("import").arg(file).arg("--data").arg(data).args(flags).arg("--json").stdout(Stdio::null());
    command.env("IMPRESARIO_STORAGE_FREE_MIN_PERCENT", "2");
    let before = processor_of_children();
    let watch = Watch::start();
    let mut child = command.spawn().map_err(io("start the import"))?;
    let mut rss_mib_max = 0;
    let status = loop {
        rss_mib_max = rss_mib_max.max(rss_mib_of(child.id()).1);
        if let Some(status) = child.try_wait().map_err(io("wait for the import"))? {
            break status;
        }
        std::thread::sleep(LOOK_EVERY);
    };
    let seconds = watch.passed().as_secs_f64();
    if !status.success() {
        return Err(CommandError::No(format!("the import of {} ended with {status}", file.display())));
    }
    let processor_s = processor_of_children().saturating_sub(before).as_secs_f64();
    let disk_mib = disk_bytes(data) >> 20;
    Ok(Imported { rows, seconds, processor_s, rows_per_s: rows as f64 / seconds, rss_mib_max, disk_mib })
}
