// The rows of `bench sync` on Tokio, but those that `bench runtime` has too: see main.rs. As in peers/sync.go, with what
// Tokio has instead: no channel with several receivers, so one behind an asynchronous mutex; no channel without room, so
// one with room for a single number.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{channel, Receiver, Sender};
use tokio::sync::{oneshot as answer, Mutex, Semaphore};
use tokio::task::JoinHandle;

const ROOM: usize = 128;

// The sum of first, first + 1, ... of count numbers.
fn sum_of(first: u64, count: u64) -> u64 {
    if count == 0 {
        return 0;
    }
    count * first + count * (count - 1) / 2
}

async fn send_numbers(to: Sender<u64>, first: u64, count: u64) {
    for number in first..first + count {
        to.send(number).await.unwrap();
    }
}

async fn sum_numbers(mut from: Receiver<u64>, count: u64) -> u64 {
    let mut sum = 0;
    for _ in 0..count {
        sum += from.recv().await.unwrap();
    }
    sum
}

type SharedReceiver = Arc<Mutex<Receiver<u64>>>;

async fn receive(from: &SharedReceiver) -> Option<u64> {
    from.lock().await.recv().await
}

async fn spsc(n: u64) -> bool {
    let (to, from) = channel(ROOM);
    let sender = tokio::spawn(send_numbers(to, 0, n));
    let sum = tokio::spawn(sum_numbers(from, n)).await.unwrap();
    sender.await.unwrap();
    sum == sum_of(0, n)
}

async fn mpmc(n: u64) -> bool {
    let (to, from) = channel(ROOM);
    let from = Arc::new(Mutex::new(from));
    let each = n / 4;
    let mut receivers = Vec::new();
    for i in 0..4 {
        tokio::spawn(send_numbers(to.clone(), i * each, each));
        let from = from.clone();
        receivers.push(tokio::spawn(async move {
            let mut sum = 0;
            for _ in 0..each {
                sum += receive(&from).await.unwrap();
            }
            sum
        }));
    }
    let mut sum = 0;
    for receiver in receivers {
        sum += receiver.await.unwrap();
    }
    sum == sum_of(0, 4 * each)
}

async fn rendezvous(n: u64) -> bool {
    let (there, mut asked) = channel(1);
    let (back, mut answered) = channel(1);
    let asker = tokio::spawn(async move {
        let mut sum = 0;
        for i in 0..n {
            there.send(i).await.unwrap();
            sum += answered.recv().await.unwrap();
        }
        sum
    });
    tokio::spawn(async move {
        for _ in 0..n {
            let number: u64 = asked.recv().await.unwrap();
            back.send(number + 1).await.unwrap();
        }
    });
    asker.await.unwrap() == sum_of(1, n)
}

async fn select(n: u64) -> bool {
    let (to_a, mut a) = channel(ROOM);
    let (to_b, mut b) = channel(ROOM);
    let each = n / 2;
    tokio::spawn(send_numbers(to_a, 0, each));
    tokio::spawn(send_numbers(to_b, each, each));
    let receiver = tokio::spawn(async move {
        let mut sum = 0;
        for _ in 0..2 * each {
            sum += tokio::select! {
                Some(number) = a.recv() => number,
                Some(number) = b.recv() => number,
                else => 0,
            };
        }
        sum
    });
    receiver.await.unwrap() == sum_of(0, 2 * each)
}

async fn pool(n: u64) -> bool {
    let (to, jobs) = channel(ROOM);
    let (answers, answered) = channel(ROOM);
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..8 {
        let (jobs, answers) = (jobs.clone(), answers.clone());
        tokio::spawn(async move {
            while let Some(job) = receive(&jobs).await {
                answers.send(job + 1).await.unwrap();
            }
        });
    }
    tokio::spawn(send_numbers(to, 0, n));
    tokio::spawn(sum_numbers(answered, n)).await.unwrap() == sum_of(1, n)
}

// A semaphore that has a permit stands for an event that is set.
async fn idle_timeout(n: u64) -> bool {
    let gate = Semaphore::new(1);
    let mut passed = 0;
    for _ in 0..n {
        if tokio::time::timeout(Duration::from_secs(3600), gate.acquire()).await.is_ok() {
            passed += 1;
        }
    }
    passed == n
}

async fn contended(n: u64) -> bool {
    let count = Arc::new(Mutex::new(0));
    let mut children: Vec<JoinHandle<()>> = Vec::new();
    for _ in 0..4 {
        let count = count.clone();
        children.push(tokio::spawn(async move {
            for _ in 0..n / 4 {
                let mut guard = count.lock().await;
                *guard += 1;
                tokio::task::yield_now().await;
            }
        }));
    }
    for child in children {
        child.await.unwrap();
    }
    let counted = *count.lock().await;
    counted == n / 4 * 4
}

async fn select_eight(n: u64) -> bool {
    let each = n / 8;
    let mut c = Vec::new();
    for i in 0..8 {
        let (to, from) = channel(ROOM);
        tokio::spawn(send_numbers(to, i * each, each));
        c.push(from);
    }
    let [mut c0, mut c1, mut c2, mut c3, mut c4, mut c5, mut c6, mut c7]: [Receiver<u64>; 8] =
        c.try_into().unwrap();
    let receiver = tokio::spawn(async move {
        let mut sum = 0;
        for _ in 0..8 * each {
            sum += tokio::select! {
                Some(number) = c0.recv() => number,
                Some(number) = c1.recv() => number,
                Some(number) = c2.recv() => number,
                Some(number) = c3.recv() => number,
                Some(number) = c4.recv() => number,
                Some(number) = c5.recv() => number,
                Some(number) = c6.recv() => number,
                Some(number) = c7.recv() => number,
                else => 0,
            };
        }
        sum
    });
    receiver.await.unwrap() == sum_of(0, 8 * each)
}

async fn oneshot(n: u64) -> bool {
    let (questions, mut asked) = channel::<(u64, answer::Sender<u64>)>(1);
    let asker = tokio::spawn(async move {
        let mut sum = 0;
        for i in 0..n {
            let (reply, answered) = answer::channel();
            questions.send((i, reply)).await.unwrap();
            sum += answered.await.unwrap();
        }
        sum
    });
    tokio::spawn(async move {
        for _ in 0..n {
            let (number, reply) = asked.recv().await.unwrap();
            reply.send(number + 1).unwrap();
        }
    });
    asker.await.unwrap() == sum_of(1, n)
}

// Tokio's own broadcast lets slow receivers miss numbers: a channel for each subscriber, as in Go.
async fn broadcast(n: u64) -> bool {
    const SUBSCRIBERS: u64 = 1000;
    let count = n / SUBSCRIBERS + 1;
    let mut senders = Vec::new();
    let mut receivers = Vec::new();
    for _ in 0..SUBSCRIBERS {
        let (to, from) = channel(64);
        senders.push(to);
        receivers.push(tokio::spawn(sum_numbers(from, count)));
    }
    tokio::spawn(async move {
        for number in 0..count {
            for to in &senders {
                to.send(number).await.unwrap();
            }
        }
    });
    let mut right = true;
    for receiver in receivers {
        right &= receiver.await.unwrap() == sum_of(0, count);
    }
    right
}

pub async fn run(row: &str, n: u64) -> bool {
    match row {
        "spsc" => spsc(n).await,
        "mpmc" => mpmc(n).await,
        "rendezvous" => rendezvous(n).await,
        "select" => select(n).await,
        "pool" => pool(n).await,
        "idle_timeout" => idle_timeout(n).await,
        "contended" => contended(n).await,
        "select8" => select_eight(n).await,
        "oneshot" => oneshot(n).await,
        "broadcast" => broadcast(n).await,
        _ => panic!("no row is called {}", row),
    }
}
