//! Kernel objects in general: where they live, references to them, and queues of those.

pub mod budget;
pub mod fifo;
pub mod list;
pub mod pool;
