use super::*;

fn message(word: u64) -> (Message, Form) {
    (Message { words: [word; 12], ..Message::default() }, Form::Message)
}

#[test]
fn a_call_is_replied_to_once_and_by_its_number() {
    let mut call = Call::new();
    let first = call.begin(1);
    assert!(call.fail(first, Status::Disconnected));
    assert_eq!((call.open(), call.close()), (None, Status::Disconnected));
    let second = call.begin(1);
    assert_ne!(first, second);
    // A late server still has the first.
    assert!(!call.reply(first, message(1), &mut None));
    assert!(!call.fail(first, Status::TimedOut));
    assert_eq!(call.open(), Some(second));
    assert!(call.reply(second, message(2), &mut None));
    assert!(!call.reply(second, message(3), &mut None));
    assert!(!call.fail(second, Status::TimedOut));
    assert_eq!((call.message.words, call.close()), ([2; 12], Status::Ok));
}

#[test]
fn a_call_that_nobody_waits_for_is_over() {
    let mut call = Call::new();
    let number = call.begin(1);
    assert_eq!((call.close(), call.at), (Status::TimedOut, 0));
    assert!(!call.reply(number, message(1), &mut None));
}

#[test]
fn the_replys_handles_come_with_it_and_the_calls_go_with_the_server() {
    for number_is_right in [true, false] {
        let mut call = Call::new();
        call.passed = Some(Passed::new());
        let number = call.begin(1) + u64::from(!number_is_right);
        let mut passed = None;
        assert_eq!(call.reply(number, message(1), &mut passed), number_is_right);
        assert_eq!((call.passed.is_none(), passed.is_some()), (number_is_right, number_is_right));
    }
}

#[test]
fn words_hide_what_the_message_had_before() {
    let mut call = Call::new();
    call.message = Message { key: 5, deadline_tsc: 6, handles: [7; 4], words: [8; 12] };
    call.set_words(&[9; REGISTER_WORDS]);
    let full = call.full();
    assert_eq!((full.key, full.handles, full.deadline_tsc), (5, [0; 4], 0));
    let (first, rest) = full.words.split_at(REGISTER_WORDS);
    assert!(first.iter().all(|word| *word == 9) && rest.iter().all(|word| *word == 0));
}
