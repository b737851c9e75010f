//! AMD SEV-SNP: images of its platform, and the launch digest that they get.
//!
//! [`reader`] reads what an IGVM file has for SEV-SNP, [`launch`] puts it, or an OVMF image, into the order
//! in which a host launches it, and gives the digest that the AMD-SP puts into its attestation reports.
//! [`vcpu`] has the state of vCPUs as KVM measures it, [`processor`] what of that depends on the processor's
//! model, [`kernel_hashes`] the page by which a measured OVMF knows its kernel. [`firmware`] makes an image
//! of an OVMF image, [`id_block`] signs one.
//!
//! Layouts and codes are in the crate `plinth-snp-abi`, with their sources.

pub mod firmware;
pub mod id_block;
pub mod kernel_hashes;
pub mod launch;
pub mod processor;
pub mod reader;
pub mod vcpu;
