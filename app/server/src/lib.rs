//! The session: it owns connections, the session actor and the frames. It takes input from clients, gives it to the model
//! and the panes, and sends every client the newest state. It must never block: not on a slow client, not on a program
//! that floods, not on an engine that hangs.

mod actions;
mod client;
mod console;
mod direct;
mod env;
mod input;
mod keep;
mod lists;
mod messages;
mod mouse;
mod overlays;
mod reactor;
mod render;
mod searching;
mod session;
mod settings;
mod signals;
mod slots;
mod sockets;

pub use keep::Handed;
pub use session::{Options, ServeError, TestPanes, serve};
pub use settings::find_theme;
pub use sockets::{Claim, MAX_NAME, SocketDir, SocketError, check_name, greet};
