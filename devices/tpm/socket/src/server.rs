//! The sockets: who listens, who is connected, and what is read from whom.

use std::fs;
use std::io::{ErrorKind, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tpm2_engine::Tpm;

use crate::control::{AfterCommand, BUFFER, Control};
use crate::options::{Address, Socket, value};
use crate::place;

/// What the waiter calls the channels.
const DATA: epoll::EventData = epoll::EventData::new_u64(0);
const CONTROL: epoll::EventData = epoll::EventData::new_u64(1);

/// The option of the child that goes on in the background.
const READY: &str = "ready";

/// A listening socket.
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn new(option: &str) -> Result<Listener> {
        match Address::parse(option)? {
            Address::Tcp(address, port) => {
                let listener = TcpListener::bind((address.as_str(), port));
                Ok(Listener::Tcp(listener.with_context(|| format!("port {port} can't be listened on"))?))
            }
            Address::Unix(path) => {
                // A socket that an earlier process left behind.
                let _ = fs::remove_file(&path);
                let listener = UnixListener::bind(&path);
                Ok(Listener::Unix(listener.with_context(|| format!("no socket at {}", path.display()))?))
            }
        }
    }

    fn accept(&self) -> Result<OwnedFd> {
        Ok(match self {
            Listener::Tcp(listener) => {
                let stream = listener.accept()?.0;
                // Small messages by turns: Nagle's algorithm would hold each of them back.
                stream.set_nodelay(true)?;
                stream.into()
            }
            Listener::Unix(listener) => listener.accept()?.0.into(),
        })
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(listener) => listener.as_fd(),
        }
    }
}

/// The TPM with its channels.
pub struct Server {
    tpm: Tpm,
    control_state: Control,
    data: Option<Listener>,
    control: Option<Listener>,
    data_client: Option<fs::File>,
    control_client: Option<OwnedFd>,
    /// Who waits for the channels as they are; none if one has got or lost its client.
    waiter: Option<OwnedFd>,
    terminates: bool,
    buffer: Vec<u8>,
    pending: Vec<u8>,
    response: Vec<u8>,
}

impl Server {
    /// Opens the TPM and the sockets.
    ///
    /// # Errors
    ///
    /// One of them can't be had.
    pub fn new(options: &Socket) -> Result<Server> {
        ensure!(options.server.is_some() || options.ctrl.is_some(), "--server or --ctrl is missing");
        let mut tpm = place::open(&options.tpmstate, options.key.as_deref())?;
        let starts = ["startup-clear", "startup-state"].iter().position(|flag| options.has_flag(flag));
        let mut response = Vec::new();
        if let Some(kind) = starts {
            // TPM2_Startup; CLEAR is 0 and STATE is 1, as the flags stand above.
            let command = [0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, kind as u8];
            tpm.execute(0, &command, &mut response);
        }
        // With a start-up of its own it waits for no INIT of the control channel.
        let is_running = starts.is_some() || options.has_flag("not-need-init");
        let server = Server {
            tpm,
            control_state: Control::new(is_running),
            data: options.server.as_deref().map(Listener::new).transpose()?,
            control: options.ctrl.as_deref().map(Listener::new).transpose()?,
            data_client: None,
            control_client: None,
            waiter: None,
            terminates: options.terminate,
            buffer: vec![0; BUFFER as usize],
            pending: Vec::new(),
            response,
        };
        if let Some(path) = options.pid.as_deref().and_then(|option| value(option, "file")) {
            fs::write(path, std::process::id().to_string()).context("the file for the process's number")?;
        }
        if std::env::var_os(READY).is_some() {
            println!("{READY}");
        }
        Ok(server)
    }

    /// Serves clients until the control channel or, with --terminate, the data channel ends it.
    ///
    /// # Errors
    ///
    /// The operating system refuses to wait or to accept.
    pub fn serve(mut self) -> Result<()> {
        loop {
            let [data, control] = self.wait()?;
            if data && !self.serve_data()? && self.terminates {
                return Ok(());
            }
            if control && self.serve_control()? == AfterCommand::End {
                return Ok(());
            }
        }
    }

    /// Waits until something is to be read or accepted: on the data channel, on the control channel.
    fn wait(&mut self) -> Result<[bool; 2]> {
        // Made once for each set of channels: a command costs one system call less than with poll's lists.
        let waiter = match self.waiter.take() {
            Some(waiter) => waiter,
            None => self.watch()?,
        };
        let mut events = [epoll::Event { flags: epoll::EventFlags::empty(), data: DATA }; 2];
        let count = match epoll::wait(&waiter, &mut events, None) {
            Ok(count) => count,
            // A debugger has stopped the process, or it was suspended.
            Err(Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        self.waiter = Some(waiter);
        let events = events.get(..count).unwrap_or_default();
        Ok([DATA, CONTROL].map(|channel| events.iter().any(|event| event.data.u64() == channel.u64())))
    }

    /// Who waits for the channels as they are now.
    fn watch(&self) -> Result<OwnedFd> {
        let waiter = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        // Of each channel either the client or the listener: a second client waits until the first has gone.
        let data = self.data_client.as_ref().map(AsFd::as_fd).or(self.data.as_ref().map(Listener::as_fd));
        let control =
            self.control_client.as_ref().map(AsFd::as_fd).or(self.control.as_ref().map(Listener::as_fd));
        for (fd, channel) in [(data, DATA), (control, CONTROL)] {
            if let Some(fd) = fd {
                epoll::add(&waiter, fd, channel, epoll::EventFlags::IN)?;
            }
        }
        Ok(waiter)
    }

    fn set_data_client(&mut self, client: Option<fs::File>) {
        (self.data_client, self.waiter) = (client, None);
    }

    fn set_control_client(&mut self, client: Option<OwnedFd>) {
        (self.control_client, self.waiter) = (client, None);
    }

    /// Accepts a client of the data channel, or executes what it sent. False once it has gone.
    fn serve_data(&mut self) -> Result<bool> {
        let Some(client) = &mut self.data_client else {
            if let Some(listener) = &self.data {
                let client = listener.accept()?.into();
                self.set_data_client(Some(client));
                // Half a command of an earlier client must not become the beginning of this one's.
                self.pending.clear();
            }
            return Ok(true);
        };
        let count = match client.read(&mut self.buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
            // Whatever went wrong with the connection, its client has gone.
            Err(_) => 0,
        };
        if count == 0 {
            self.set_data_client(None);
            return Ok(false);
        }
        let mut read = std::mem::take(&mut self.buffer);
        let mut goes_on = true;
        let bytes = read.get(..count).unwrap_or_default();
        // Mostly one read brings one command; it may bring a part of one, or several.
        if self.pending.is_empty() && whole(bytes) == Some(count) {
            goes_on = self.execute(bytes);
        } else {
            self.pending.extend_from_slice(bytes);
            while let Some(size) = whole(&self.pending).filter(|_| goes_on) {
                let command: Vec<u8> = self.pending.drain(..size).collect();
                goes_on = self.execute(&command);
            }
        }
        std::mem::swap(&mut self.buffer, &mut read);
        if !goes_on {
            self.set_data_client(None);
        }
        Ok(goes_on)
    }

    /// Executes a command and sends the response. False if there is nobody to send it to.
    fn execute(&mut self, command: &[u8]) -> bool {
        // Stopped by the control channel, it is like a TPM without power.
        if !self.control_state.is_running {
            return false;
        }
        self.tpm.execute(self.control_state.locality, command, &mut self.response);
        let sent = self.data_client.as_mut().map(|client| client.write_all(&self.response));
        matches!(sent, Some(Ok(())))
    }

    fn serve_control(&mut self) -> Result<AfterCommand> {
        let Some(client) = &self.control_client else {
            if let Some(listener) = &self.control {
                let client = listener.accept()?;
                self.set_control_client(Some(client));
            }
            return Ok(AfterCommand::Go);
        };
        let mut buffer = [0; 2 * BUFFER as usize];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let count =
            recvmsg(client, &mut slices, &mut ancillary, RecvFlags::empty()).map_or(0, |got| got.bytes);
        let Some(request) = buffer.get(..count).filter(|request| !request.is_empty()) else {
            self.set_control_client(None);
            return Ok(AfterCommand::Go);
        };
        let mut writer: fs::File = client.try_clone()?.into();
        // Each message is one request: swtpm's clients send no half of one.
        let (response, next) = self.control_state.execute(&mut self.tpm, request);
        if next == AfterCommand::TakeData {
            let given = ancillary.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
                _ => None,
            });
            // The client has made a pair of sockets, and passes one end.
            self.set_data_client(given.map(Into::into));
        }
        if writer.write_all(&response).is_err() {
            self.set_control_client(None);
        }
        Ok(next)
    }
}

/// The size of the command in front, if it is there as a whole. What says that it is longer than any command
/// ends with what has come.
fn whole(pending: &[u8]) -> Option<usize> {
    let size = pending.get(2..6).and_then(|size| size.try_into().ok()).map(u32::from_be_bytes)?;
    if !(10..=BUFFER).contains(&size) {
        // No size that could be waited for: the TPM refuses all of it at once.
        return Some(pending.len());
    }
    (pending.len() >= size as usize).then_some(size as usize)
}

/// Starts the program again without --daemon, and ends once that one listens.
///
/// # Errors
///
/// It could not be started, or has ended.
pub fn start_in_background() -> Result<()> {
    let arguments = std::env::args_os().skip(1).filter(|argument| argument != "--daemon" && argument != "-d");
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments)
        // A server in the foreground prints nothing; only this one is waited for.
        .env(READY, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut word = [0; READY.len()];
    let mut out = child.stdout.take().context("no standard output")?;
    // Whoever started this may connect as soon as it has ended.
    out.read_exact(&mut word).context("the process in the background has ended")?;
    Ok(())
}
