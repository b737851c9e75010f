//! How a process gives others what the host says are random numbers: one call, GIVE, whose reply has
//! [`BYTES`] of them in its words 1 to 8, behind a word 0 that is 0. Any other word 0 is a refusal.
//!
//! Nobody is to rely on them: they are the host's, which is not trusted. A client mixes them into numbers of
//! its own (`vmm::random::mixed`).
#![no_std]
#![forbid(unsafe_code)]

use runtime::abi::message::Message;
use runtime::abi::status::Status;
use runtime::channel::Channel;

/// Bytes of a reply.
pub const BYTES: usize = 64;

/// The words of a message.
pub type Words = [u64; 12];

/// GIVE, as the words of a message.
pub const GIVE: Words = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// The reply to anything else, and to a call that the device did not answer.
pub const REFUSAL: Words = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// The words of a reply with these numbers.
pub fn to_words(numbers: &[u8; BYTES]) -> Words {
    let mut words = Words::default();
    let (eights, _) = numbers.as_chunks::<8>();
    words.iter_mut().skip(1).zip(eights).for_each(|(word, eight)| *word = u64::from_le_bytes(*eight));
    words
}

/// The numbers of a reply; `None` for a refusal.
pub fn from_words(words: &Words) -> Option<[u8; BYTES]> {
    let mut numbers = [0; BYTES];
    let (eights, _) = numbers.as_chunks_mut::<8>();
    eights.iter_mut().zip(words.iter().skip(1)).for_each(|(eight, word)| *eight = word.to_le_bytes());
    (words[0] == 0).then_some(numbers)
}

/// Asks whoever serves the channel.
///
/// # Errors
/// The kernel's: nobody serves, or not in time. WrongState if the server refuses.
pub fn ask(channel: Channel, deadline_tsc: u64) -> Result<[u8; BYTES], Status> {
    let mut message = Message { deadline_tsc, words: GIVE, ..Message::default() };
    channel.call(&mut message)?;
    from_words(&message.words).ok_or(Status::WrongState)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_same_behind_the_words() {
        let numbers = core::array::from_fn(|at| at as u8 ^ 0xa5);
        let words = to_words(&numbers);
        assert_eq!((words[0], words[9..].iter().sum::<u64>()), (0, 0));
        assert_eq!(from_words(&words), Some(numbers));
        assert_eq!(from_words(&REFUSAL), None);
        assert_eq!(from_words(&[u64::MAX; 12]), None);
    }
}
