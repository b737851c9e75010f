//! The MSR protocol: one word to the host and one back, without a page for calls (GHCB, 2.3.1).
//!
//! Nothing that the host says is believed: a response of another kind than the request, a field with another
//! value than the one that was asked for, and a code that is not defined are errors, each with its words.

use core::fmt;

use plinth_snp_abi::ghcb::{HvFeatures, PageOperation, Request, Response};

/// The version of the protocol that this kernel speaks: the first that knows SEV-SNP.
pub const VERSION: u16 = plinth_snp_abi::ghcb::VERSION_MIN;
/// The set of reasons in a request to be ended: one that is neither the specification's (0) nor Linux' and
/// OVMF's (1).
pub const REASONS: u8 = 15;

/// The way to the host: the MSR is written, VMGEXIT executed, the MSR read.
pub trait Exchange {
    /// Gives the host a word and returns what it leaves in the MSR.
    fn exchange(&mut self, word: u64) -> u64;
}

/// Why the host's word is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordError {
    /// It is no response, or one to another request.
    OtherResponse {
        /// What was asked.
        request: u64,
        /// What came back.
        response: u64,
    },
    /// The host speaks versions of the protocol that this kernel does not.
    Versions {
        /// The oldest.
        min: u16,
        /// The newest.
        max: u16,
    },
    /// The host's C-bit is another than the image's.
    CBit {
        /// The image's.
        image: u32,
        /// The host's.
        host: u8,
    },
    /// The host can't do what is needed.
    Features(HvFeatures),
    /// The host would have the page for calls elsewhere.
    OtherPage {
        /// The frame that was asked for.
        asked: u64,
        /// The frame that the host says.
        said: u64,
    },
    /// The host does not change the state of a page.
    PageState {
        /// The frame.
        gfn: u64,
        /// The host's error.
        error: u32,
    },
    /// The host does not run a VMPL.
    Vmpl {
        /// Which.
        vmpl: u8,
        /// The host's error.
        error: u32,
    },
}

impl fmt::Display for WordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherResponse { request, response } => {
                write!(f, "the host's response to {request:#x} is {response:#x}")
            }
            Self::Versions { min, max } => {
                write!(f, "the host speaks the GHCB protocol's versions {min} to {max}, and not {VERSION}")
            }
            Self::CBit { image, host } => {
                write!(f, "the image is made for a C-bit at {image}, and the host says {host}")
            }
            Self::Features(features) => write!(f, "the host lacks SEV-SNP among its features {features:?}"),
            Self::OtherPage { asked, said } => {
                write!(f, "the host takes frame {said:#x} for calls where {asked:#x} was asked for")
            }
            Self::PageState { gfn, error } => {
                write!(f, "the host does not change the state of frame {gfn:#x}: error {error:#x}")
            }
            Self::Vmpl { vmpl, error } => write!(f, "the host does not run VMPL{vmpl}: error {error:#x}"),
        }
    }
}

/// Asks the host, and takes from its response what `take` finds in it.
fn ask<T>(
    host: &mut impl Exchange,
    request: Request,
    take: impl FnOnce(Response) -> Option<T>,
) -> Result<T, WordError> {
    let word = request.encode();
    let response = host.exchange(word);
    // One look at one word: decoding and the check of its kind see the same.
    Response::decode(response).ok().and_then(take).ok_or(WordError::OtherResponse { request: word, response })
}

/// Agrees on a version of the protocol. The image says where the C-bit is: page tables have been used with it
/// by now, and a host that says otherwise is refused.
///
/// # Errors
/// [`WordError::Versions`], [`WordError::CBit`], [`WordError::OtherResponse`].
pub fn negotiate(host: &mut impl Exchange, image: u32) -> Result<(), WordError> {
    let (min, max, c_bit) = ask(host, Request::SevInformation, |response| match response {
        Response::SevInformation { max, min, c_bit } => Some((min, max, c_bit)),
        _ => None,
    })?;
    if !(min..=max).contains(&VERSION) {
        return Err(WordError::Versions { min, max });
    }
    if u32::from(c_bit) == image { Ok(()) } else { Err(WordError::CBit { image, host: c_bit }) }
}

/// What the host can do, SEV-SNP at least. Nothing secret may depend on the rest.
///
/// # Errors
/// [`WordError::Features`], [`WordError::OtherResponse`].
pub fn features(host: &mut impl Exchange) -> Result<HvFeatures, WordError> {
    let features = ask(host, Request::HvFeatures, |response| match response {
        Response::HvFeatures(features) => Some(features),
        _ => None,
    })?;
    if features.contains(HvFeatures::SNP) { Ok(features) } else { Err(WordError::Features(features)) }
}

/// Registers a shared page as the one for calls.
///
/// # Errors
/// [`WordError::OtherPage`], [`WordError::OtherResponse`].
pub fn register(host: &mut impl Exchange, asked: u64) -> Result<(), WordError> {
    let said = ask(host, Request::RegisterGhcb { gfn: asked }, |response| match response {
        Response::RegisterGhcb { gfn } => Some(gfn),
        _ => None,
    })?;
    if said == asked { Ok(()) } else { Err(WordError::OtherPage { asked, said }) }
}

/// Has the host make a page private or shared. That it says so is no proof: PVALIDATE of a private page is.
///
/// # Errors
/// [`WordError::PageState`], [`WordError::OtherResponse`].
pub fn change_page(host: &mut impl Exchange, gfn: u64, operation: PageOperation) -> Result<(), WordError> {
    let error = ask(host, Request::PageStateChange { gfn, operation }, |response| match response {
        Response::PageStateChange { error } => Some(error),
        _ => None,
    })?;
    if error == 0 { Ok(()) } else { Err(WordError::PageState { gfn, error }) }
}

/// Has the host run another VMPL of this vCPU. Comes back when it runs this one again, for whatever reason:
/// the VMSA of the other says whether it ran, and why it stopped.
///
/// # Errors
/// [`WordError::Vmpl`] where the host does not run it, [`WordError::OtherResponse`].
pub fn run_vmpl(host: &mut impl Exchange, vmpl: u8) -> Result<(), WordError> {
    let error = ask(host, Request::RunVmpl { vmpl }, |response| match response {
        Response::RunVmpl { error } => Some(error),
        _ => None,
    })?;
    if error == 0 { Ok(()) } else { Err(WordError::Vmpl { vmpl, error }) }
}

/// Asks the host to end this guest. A host that does not has the caller go on.
pub fn terminate(host: &mut impl Exchange, reason: u8) {
    host.exchange(Request::Terminate { set: REASONS, reason }.encode());
}

#[cfg(test)]
mod tests;
