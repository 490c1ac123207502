// The rows of `bench runtime` and, in sync_rows.rs, of `bench sync` on Tokio:
//   peer_tokio ROW OPERATIONS THREADS [MILLISECONDS]
// What it prints is what the same in Go prints: see peers/measure.go. One thread is Tokio's current_thread runtime, two
// are its multi_thread runtime with two workers.

mod sync_rows;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;

// The sum of 0, 1, ... of count numbers.
fn sum_of(count: u64) -> u64 {
    count * (count - 1) / 2
}

fn branch(first: u64, leaves: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        let mut children: [Option<JoinHandle<u64>>; 10] = Default::default();
        for (i, child) in children.iter_mut().enumerate() {
            let i = i as u64;
            *child = Some(if leaves == 10 {
                tokio::spawn(async move { first + i })
            } else {
                tokio::spawn(branch(first + i * (leaves / 10), leaves / 10))
            });
        }
        let mut sum = 0;
        for child in children {
            sum += child.unwrap().await.unwrap();
        }
        sum
    })
}

async fn skynet(n: u64) -> bool {
    let mut leaves = 1;
    while leaves * 10 <= n {
        leaves *= 10;
    }
    branch(0, leaves).await == sum_of(leaves)
}

async fn spawn_one(n: u64) -> bool {
    let mut sum = 0;
    for i in 0..n {
        sum += tokio::spawn(async move { i }).await.unwrap();
    }
    sum == sum_of(n)
}

async fn spawn_batch(n: u64) -> bool {
    let mut children = Vec::with_capacity(n as usize);
    for i in 0..n {
        children.push(tokio::spawn(async move { i }));
    }
    let mut sum = 0;
    for child in children {
        sum += child.await.unwrap();
    }
    sum == sum_of(n)
}

async fn yield_among(tasks: u64, n: u64) -> bool {
    let each = n / tasks;
    let mut children = Vec::with_capacity(tasks as usize);
    for _ in 0..tasks {
        children.push(tokio::spawn(async move {
            let mut turns = 0;
            for _ in 0..each {
                tokio::task::yield_now().await;
                turns += 1;
            }
            turns
        }));
    }
    let mut right = true;
    for child in children {
        right &= child.await.unwrap() == each;
    }
    right
}

async fn play(mine: Arc<Notify>, other: Arc<Notify>, count: u64) -> u64 {
    let mut turns = 0;
    for _ in 0..count {
        mine.notified().await;
        turns += 1;
        other.notify_one();
    }
    turns
}

async fn ping_pong(n: u64) -> bool {
    let there = Arc::new(Notify::new());
    let back = Arc::new(Notify::new());
    there.notify_one();
    let one = tokio::spawn(play(there.clone(), back.clone(), n));
    let two = tokio::spawn(play(back, there, n));
    one.await.unwrap() == n && two.await.unwrap() == n
}

async fn timer(n: u64) -> bool {
    let mut passed = 0;
    for _ in 0..n {
        let yielded = tokio::task::yield_now();
        if tokio::time::timeout(Duration::from_secs(3600), yielded).await.is_ok() {
            passed += 1;
        }
    }
    passed == n
}

async fn lock(n: u64) -> bool {
    let count = Mutex::new(0);
    for _ in 0..n {
        *count.lock().await += 1;
    }
    let counted = *count.lock().await;
    counted == n
}

// In a box, as a recursive or chosen-at-run-time one is: otherwise it is no task of its own, but a part of its caller.
fn add(number: u64, sum: &AtomicU64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
    Box::pin(async move {
        sum.store(sum.load(Ordering::Relaxed) + number, Ordering::Relaxed);
    })
}

async fn await_child(n: u64) -> bool {
    let sum = AtomicU64::new(0);
    for i in 0..n {
        add(i, &sum).await;
    }
    sum.load(Ordering::Relaxed) == sum_of(n)
}

async fn sleep_all(n: u64, length: Duration) -> bool {
    let mut children = Vec::with_capacity(n as usize);
    for _ in 0..n {
        children.push(tokio::spawn(async move {
            let begin = Instant::now();
            tokio::time::sleep(length).await;
            begin.elapsed() >= length
        }));
    }
    let mut right = true;
    for child in children {
        right &= child.await.unwrap();
    }
    right
}

fn status(wanted: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(wanted)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
}

async fn park(n: u64) -> f64 {
    let before = status("VmRSS:");
    let asleep = Arc::new(AtomicU64::new(0));
    for _ in 0..n {
        let asleep = asleep.clone();
        tokio::spawn(async move {
            asleep.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(3600)).await;
        });
    }
    while asleep.load(Ordering::Relaxed) < n {
        tokio::task::yield_now().await;
    }
    (status("VmRSS:") - before) / n as f64
}

// CPU time of this process, all threads.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn print(first: f64, second: f64, right: bool) {
    println!("{:.3} {:.4} {}", first, second, if right { "right" } else { "wrong" });
}

async fn run_row(row: &str, n: u64) -> bool {
    match row {
        "skynet" => skynet(n).await,
        "spawn_one" | "spawn" => spawn_one(n).await,
        "spawn_batch" => spawn_batch(n).await,
        "yield_two" | "yield" => yield_among(2, n).await,
        "yield_many" => yield_among(1000, n).await,
        "ping_pong" | "event" => ping_pong(n).await,
        "timer" | "armed_timeout" => timer(n).await,
        "lock" | "mutex" => lock(n).await,
        "await_child" => await_child(n).await,
        _ => sync_rows::run(row, n).await,
    }
}

async fn measure(row: String, operations: u64, threads: usize, length: Duration) {
    match row.as_str() {
        "sleeps" => {
            let (cpu, begin) = (cpu_time(), Instant::now());
            let right = sleep_all(operations, length).await;
            print((cpu_time() - cpu).as_secs_f64() * 1e3, begin.elapsed().as_secs_f64(), right);
        }
        "parked" => print(park(operations).await, 0.0, true),
        _ => {
            let mut right = run_row(&row, (operations / 16).max(1024)).await;
            let (cpu, begin) = (cpu_time(), Instant::now());
            right &= run_row(&row, operations).await;
            let (cpu, wall) = (cpu_time() - cpu, begin.elapsed());
            let n = operations as f64;
            if threads == 1 {
                print(cpu.as_nanos() as f64 / n, wall.as_secs_f64() / cpu.as_secs_f64(), right);
            } else {
                print(wall.as_nanos() as f64 / n, 1.0, right);
            }
        }
    }
    // Not through what would free a million tasks.
    std::process::exit(0);
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.len() != 4 && arguments.len() != 5 {
        eprintln!("usage: peer_tokio ROW OPERATIONS THREADS [MILLISECONDS]");
        std::process::exit(2);
    }
    let operations = arguments[2].parse().unwrap();
    let threads = arguments[3].parse().unwrap();
    let length = Duration::from_millis(arguments.get(4).map_or(0, |text| text.parse().unwrap()));
    let mut builder = if threads == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    let runtime = builder.enable_time().build().unwrap();
    let row = arguments[1].clone();
    // Spawned, so that it runs on a worker.
    runtime.block_on(async move { tokio::spawn(measure(row, operations, threads, length)).await.unwrap() });
}
