//! Ctrl-C and SIGTERM: the first asks the work to stop and roll back, a second Ctrl-C ends the process at once.

use ematix_flow_core::error::{ErrorCode, ExitCode, FlowError, Result};
use ematix_flow_run::execute::Stop;
use std::future::Future;
use tokio::sync::watch;

/// Runs asynchronous work to its end, with a receiver that turns when the process is asked to stop.
///
/// # Errors
/// `target_failed` when the operating system gives no event loop.
pub fn block_on<F: Future>(work: impl FnOnce(watch::Receiver<Stop>) -> F) -> Result<F::Output> {
    let runtime = event_loop()?;
    let (sender, receiver) = watch::channel(Stop::No);
    let output = runtime.block_on(async {
        let listener = tokio::spawn(listen(sender));
        let output = work(receiver).await;
        listener.abort();
        output
    });
    // The system looks up names in a thread that nothing can stop: with a dead name server it would keep us here.
    runtime.shutdown_background();
    Ok(output)
}

/// Runs the work of a process that goes on until it is told otherwise: signals are wishes among others that it hears of.
///
/// # Errors
/// `target_failed` when the operating system gives no event loop.
pub fn block_on_wishes<F: Future>(work: impl FnOnce(Wishes) -> F) -> Result<F::Output> {
    let runtime = event_loop()?;
    let output = runtime.block_on(async { work(Wishes::listen()).await });
    runtime.shutdown_background();
    Ok(output)
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To end.
    Stop(Stop),
    /// To read the files again.
    Reload,
}

/// The signals as they come.
pub struct Wishes {
    #[cfg(unix)]
    of: [Option<(tokio::signal::unix::Signal, Wish)>; 3],
}

#[cfg(unix)]
impl Wishes {
    fn listen() -> Wishes {
        use tokio::signal::unix::{SignalKind, signal};
        let hear = |kind: SignalKind, wish: Wish| signal(kind).ok().map(|signal| (signal, wish));
        let of = [
            hear(SignalKind::interrupt(), Wish::Stop(Stop::Interrupt)),
            hear(SignalKind::terminate(), Wish::Stop(Stop::Terminate)),
            hear(SignalKind::hangup(), Wish::Reload),
        ];
        Wishes { of }
    }

    /// The next.
    pub async fn next(&mut self) -> Wish {
        let waiting: Vec<_> = self
            .of
            .iter_mut()
            .flatten()
            .map(|(signal, wish)| {
                Box::pin(async move {
                    match signal.recv().await {
                        Some(()) => *wish,
                        None => std::future::pending().await,
                    }
                })
            })
            .collect();
        if waiting.is_empty() {
            return std::future::pending().await;
        }
        futures_util::future::select_all(waiting).await.0
    }
}

#[cfg(not(unix))]
impl Wishes {
    fn listen() -> Wishes {
        Wishes {}
    }

    /// The next.
    pub async fn next(&mut self) -> Wish {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Wish::Stop(Stop::Interrupt),
            Err(_) => std::future::pending().await,
        }
    }
}

/// What a thread with an event loop has for its stack: as much as a process begins with. What it awaits is large, most of
/// all in a build that is not optimised.
pub const STACK: usize = 8 << 20;

/// An event loop for this thread.
///
/// # Errors
/// `target_failed` when the operating system gives none.
pub fn event_loop() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        FlowError::new(ErrorCode::TargetFailed, format!("the operating system gives no event loop: {error}"))
    })
}

#[cfg(unix)]
async fn listen(sender: watch::Sender<Stop>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without a handler the signals end the process, and the server rolls back.
        return std::future::pending().await;
    };
    let mut asked = false;
    loop {
        tokio::select! {
            _ = interrupt.recv() => {
                if asked {
                    std::process::exit(ExitCode::Interrupted as i32);
                }
                sender.send_replace(Stop::Interrupt);
            }
            _ = terminate.recv() => {
                sender.send_replace(Stop::Terminate);
            }
        }
        asked = true;
    }
}

#[cfg(not(unix))]
async fn listen(sender: watch::Sender<Stop>) {
    let mut asked = false;
    while tokio::signal::ctrl_c().await.is_ok() {
        if asked {
            std::process::exit(ExitCode::Interrupted as i32);
        }
        asked = true;
        sender.send_replace(Stop::Interrupt);
    }
    std::future::pending().await
}
