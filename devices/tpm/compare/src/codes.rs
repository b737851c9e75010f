//! Random commands to two TPMs, whose response codes must be the same.
//!
//! A generator knows handles, sessions and parameters of the commands ([`table`]) and what of each TPM goes
//! into them ([`world`]): the same command has other handles, names and HMACs for either. Most commands make
//! sense; a part is changed, in its parameters before it is authorized, or anywhere behind.

mod authorize;
mod crypto;
mod effects;
mod explained;
mod handles;
mod parameters;
mod random;
mod sessions;
mod table;
mod templates;
mod world;

use std::collections::BTreeMap;

use anyhow::Result;

use crate::socket::Socket;
use crate::wire::number;
use explained::explain;
use parameters::Hints;
use random::Random;
use table::{COMMANDS, Spec};
use world::{Entity, Gone, Mismatch, Pair, World};

/// What a run has seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Commands that were sent to each.
    pub sent: u64,
    /// Of these, commands that both executed.
    pub succeeded: u64,
    /// Differences for each reason that explains them.
    pub explained: BTreeMap<&'static str, u64>,
    /// Differences that nothing explains: command and codes, with how often and an example.
    pub different: BTreeMap<String, (u64, String)>,
    /// How often each command succeeded.
    pub by_command: BTreeMap<u32, u64>,
}

impl Seen {
    fn differs(&mut self, what: String, example: impl FnOnce() -> String) {
        self.different.entry(what).or_insert_with(|| (0, example())).0 += 1;
    }
}

/// Objects and sessions that are loaded at most: swtpm has places for three of each, and needs one itself.
const LOADED: usize = 2;

/// Sends commands until so many were sent, or a difference leaves the TPMs in different states.
///
/// # Errors
/// When a connection is lost.
pub fn run(tpms: Pair<Socket>, seed: u64, commands: u64) -> Result<Seen> {
    let mut world = World::new(tpms, Random(seed));
    let mut seen = Seen::default();
    for tpm in &mut world.tpms {
        tpm.start()?;
    }
    world.make_recipes()?;
    while world.sent < commands {
        let goes_on = step(&mut world, &mut seen).or_else(|error| mismatch(error, &mut seen))?;
        if !goes_on {
            break;
        }
    }
    seen.sent = world.sent;
    Ok(seen)
}

/// Takes down that a command that was to do the same on both did not. Other errors are left.
fn mismatch(error: anyhow::Error, seen: &mut Seen) -> Result<bool> {
    if error.is::<Gone>() {
        *seen.explained.entry("swtpm ends").or_default() += 1;
        return Ok(false);
    }
    let Mismatch { command, codes } = error.downcast()?;
    match explain(&crate::wire::command(command, &[]), codes) {
        Some(reason) => *seen.explained.entry(reason).or_default() += 1,
        None => seen.differs(format!("{command:x}: {:x} here, {:x} there", codes[0], codes[1]), String::new),
    }
    Ok(false)
}

/// One command. False if the TPMs are in different states now.
fn step(world: &mut World, seen: &mut Seen) -> Result<bool> {
    make_room(world)?;
    match world.random.below(120) {
        0..10 if world.sessions.len() < LOADED => {
            let start = world.any_start();
            match world.start_session(start) {
                Ok(_) => return Ok(true),
                Err(error) => return mismatch(error, seen),
            }
        }
        10 if world.random.once_in(4) => return power_cycle(world, seen),
        _ => {}
    }
    let weights: usize = COMMANDS.iter().map(|spec| spec.weight).sum();
    let mut at = world.random.below(weights);
    let is_it = |spec: &&Spec| {
        let is_it = at < spec.weight;
        at = at.saturating_sub(spec.weight);
        is_it
    };
    let mut spec = COMMANDS.iter().find(is_it);
    if world.objects_for(templates::Role::is_parent).is_empty() && world.random.once_in(3) {
        // TPM2_CreatePrimary: without a parent little can be done.
        spec = COMMANDS.iter().find(|spec| spec.code == 0x131);
    }
    let Some(spec) = spec else { return Ok(true) };
    command(world, spec, seen)
}

/// Flushes what is too much.
fn make_room(world: &mut World) -> Result<()> {
    let transient = |world: &World| {
        let is_transient = |object: &world::Object| object.handles[0] >> 24 == 0x80;
        let count = world.objects.iter().filter(|object| is_transient(object)).count();
        // A persistent object takes a place while a command uses it.
        let most = if count < world.objects.len() { LOADED - 1 } else { LOADED };
        world.objects.iter().position(is_transient).filter(|_| count > most)
    };
    while let Some(at) = transient(world) {
        let handles = world.handles(Entity::Object(at)).map(|handle| handle.to_be_bytes().to_vec());
        world.both(0x165, &handles)?;
        world.objects.remove(at);
    }
    while world.sessions.len() > LOADED {
        let at = world.random.below(world.sessions.len());
        let handles = world.handles(Entity::Session(at)).map(|handle| handle.to_be_bytes().to_vec());
        world.both(0x165, &handles)?;
        world.sessions.remove(at);
    }
    Ok(())
}

fn power_cycle(world: &mut World, seen: &mut Seen) -> Result<bool> {
    let kind = world.random.below(2) as u8;
    if world.random.once_in(2) {
        world.both(0x145, &world::same(&[0, kind]))?;
    }
    for tpm in &mut world.tpms {
        tpm.power_cycle()?;
    }
    let commands = world::same(&crate::wire::command(0x144, &[0, kind]));
    let responses = world.execute(&commands)?;
    let codes = [0, 1].map(|side: usize| number(&responses[side], 6));
    if codes[0] != codes[1] {
        seen.differs(format!("TPM2_Startup: {codes:x?}"), String::new);
        return Ok(false);
    }
    for tpm in &mut world.tpms {
        // Started with CLEAR where STATE was not possible.
        tpm.execute(&crate::wire::command(0x144, &[0, 0]))?;
    }
    world.auths.remove(&0x4000_000c);
    world.look_again()?;
    Ok(true)
}

/// Changes bytes of both in the same way.
fn change(random: &mut Random, bytes: &mut Pair<Vec<u8>>, from: usize) {
    let [ours, theirs] = bytes;
    if ours.len() != theirs.len() || ours.len() <= from {
        return;
    }
    for _ in 0..=random.below(2) {
        let at = from + random.below(ours.len().max(from + 1) - from);
        let (way, value) = (random.below(5), random.next() as u8);
        for bytes in [&mut *ours, &mut *theirs] {
            match way {
                0 => bytes.truncate(at),
                1 => bytes.insert(at.min(bytes.len()), value),
                2 => bytes.extend([0; 2]),
                3 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (value & 7)),
                _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = value),
            }
        }
    }
}

fn command(world: &mut World, spec: &Spec, seen: &mut Seen) -> Result<bool> {
    let mut entities: Vec<Entity> = Vec::new();
    for (at, (wanted, _)) in spec.handles.iter().enumerate() {
        let entity = world.entity(*wanted, spec, at, entities.first().copied());
        entities.push(entity);
    }
    let mut hints = Hints::default();
    let mut parameters = world::same(&[]);
    for parameter in spec.parameters {
        let more = world.parameter(*parameter, &entities, &mut hints);
        parameters.iter_mut().zip(more).for_each(|(bytes, more)| bytes.extend(more));
    }
    let is_changed = world.random.once_in(6);
    if is_changed {
        change(&mut world.random, &mut parameters, 0);
    }
    let mut made = world.authorized(spec, &entities, parameters)?;
    // An encrypted parameter that is changed is another one on either side.
    let is_encrypted = made.uses.iter().any(authorize::Use::decrypts);
    let is_malformed = world.random.once_in(12) && !is_encrypted;
    if is_malformed {
        change(&mut world.random, &mut made.commands, 10);
        let has_size = !world.random.once_in(10);
        for command in made.commands.iter_mut().filter(|_| has_size) {
            let size = (command.len() as u32).to_be_bytes();
            command[2..6].copy_from_slice(&size);
        }
        // What says it is longer would have the socket wait for more.
        if number(&made.commands[0], 2) as usize != made.commands[0].len() {
            return Ok(true);
        }
    }
    let responses = world.execute(&made.commands)?;
    let codes = [0, 1].map(|side: usize| number(&responses[side], 6));
    if codes[0] != codes[1] {
        return difference(&world.about(&entities), spec, &made.commands, codes, seen);
    }
    if codes[0] != 0 {
        return Ok(true);
    }
    seen.succeeded += 1;
    *seen.by_command.entry(spec.code).or_default() += 1;
    if is_malformed {
        // What it has done is not what was meant.
        world.look_again()?;
        return Ok(true);
    }
    world.take_effects(spec, &entities, &made, hints, &responses)?;
    Ok(true)
}

/// Takes a difference down. False if one TPM has done what the other one refused.
fn difference(
    about: &str,
    spec: &Spec,
    commands: &Pair<Vec<u8>>,
    codes: Pair<u32>,
    seen: &mut Seen,
) -> Result<bool> {
    match explain(&commands[0], codes) {
        Some(reason) => *seen.explained.entry(reason).or_default() += 1,
        None => {
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let [ours, theirs] = commands;
            let what = format!("{:x}: {:x} here, {:x} there", spec.code, codes[0], codes[1]);
            seen.differs(what, || format!("{}\n  {}\n  {about}", hex(ours), hex(theirs)));
        }
    }
    Ok(codes[0] != 0 && codes[1] != 0)
}
