//! The table itself: built by filling in every leaf that exists, read by index.

use super::{
    CRYSTAL_HZ, CpuidPolicy, Leaf, Vendor, features as f, frequency,
    xsave::{self, XsaveAreas},
};
use alloc::vec::Vec;

/// The highest basic leaf: leaf 16h, the frequencies.
const MAX_BASIC: u32 = 0x16;
/// The highest extended leaf.
const MAX_EXTENDED: u32 = 0x8000_0021;
const EXTENDED: u32 = 0x8000_0000;
/// Caches that leaves 4 and 8000_001Dh describe, at most.
const MAX_CACHES: u32 = 6;

/// The state of the vCPU at the time of the CPUID, on which a few bits depend.
#[derive(Clone, Copy, Debug, Default)]
pub struct Live {
    /// CR4: OSXSAVE (18) and PKE (22).
    pub cr4: u64,
    /// XCR0: the size of the XSAVE area.
    pub xcr0: u64,
    /// The local APIC is switched off in its base register: CPUID does not show it then (SDM 3, 11.4.3).
    pub is_apic_off: bool,
}

/// What has to be put in at the exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fill {
    Nothing,
    /// Leaf 1 ECX: OSXSAVE; EDX: APIC.
    Osxsave,
    /// Leaf 1 without XSAVE, and leaf 8000_0001h: EDX: APIC.
    Apic,
    /// Leaf 7 ECX: OSPKE.
    Ospke,
    /// Leaf 0Dh EBX: size for XCR0, standard format.
    StandardSize,
    /// Leaf 0Dh.1 EBX: the same, compacted.
    CompactedSize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    leaf: Leaf,
    fill: Fill,
}

/// Where a leaf's subleaves are in `entries`. A count of 1 means that ECX does not matter, unless `indexed`.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    first: u16,
    count: u16,
    indexed: bool,
    /// Neither ECX nor the vCPU's state matters: the answer is `plain`.
    is_plain: bool,
    plain: Leaf,
}

/// One vCPU's CPUID.
pub struct CpuidTable {
    basic: [Slot; MAX_BASIC as usize + 1],
    extended: [Slot; (MAX_EXTENDED - EXTENDED) as usize + 1],
    entries: Vec<Entry>,
    xsave: XsaveAreas,
    apic_id: u32,
}

impl CpuidTable {
    /// Builds the table from the host's CPUID (leaf, subleaf) and the policy. Takes time; done once a vCPU.
    pub fn new(host: &mut dyn FnMut(u32, u32) -> Leaf, policy: &CpuidPolicy) -> Self {
        let mut builder = Builder::new(host, policy);
        builder.basic();
        builder.extended();
        builder.table
    }

    /// The answer to CPUID with EAX = `leaf` and ECX = `subleaf`. Leaves that are not there, 4000_00xxh among
    /// them, read 0.
    #[inline]
    pub fn lookup(&self, leaf: u32, subleaf: u32, live: &Live) -> Leaf {
        // With the APIC off some leaves differ, and the general way finds out which.
        match self.slot(leaf) {
            Some(slot) if slot.is_plain && !live.is_apic_off => slot.plain,
            Some(slot) => self.lookup_subleaf(slot, leaf, subleaf, live),
            None => Leaf::default(),
        }
    }

    /// The answer, if neither ECX nor the vCPU's state matters for it.
    #[inline(always)]
    pub fn plain(&self, leaf: u32) -> Option<&Leaf> {
        self.slot(leaf).filter(|slot| slot.is_plain).map(|slot| &slot.plain)
    }

    /// The local APIC was switched off or on in its base register: what shows that is plain no more, or
    /// again.
    #[cold]
    pub fn follow_apic(&mut self, is_off: bool) {
        for slot in self.basic.iter_mut().chain(&mut self.extended) {
            let entry = self.entries.get(usize::from(slot.first)).filter(|_| slot.count > 0);
            if entry.is_some_and(|entry| entry.fill == Fill::Apic) {
                slot.is_plain = !is_off;
            }
        }
    }

    #[inline(always)]
    fn slot(&self, leaf: u32) -> Option<&Slot> {
        if leaf < EXTENDED {
            self.basic.get(leaf as usize)
        } else {
            self.extended.get((leaf - EXTENDED) as usize)
        }
    }

    fn lookup_subleaf(&self, slot: &Slot, leaf: u32, subleaf: u32, live: &Live) -> Leaf {
        // For most leaves ECX means nothing, and guests leave anything in it.
        let index = if slot.indexed { subleaf } else { 0 };
        if index >= u32::from(slot.count) {
            return self.past_the_end(leaf, subleaf);
        }
        match self.entries.get(usize::from(slot.first) + index as usize) {
            Some(Entry { leaf, fill: Fill::Nothing }) => *leaf,
            Some(entry) => self.fill(*entry, live),
            None => Leaf::default(),
        }
    }

    /// XCR0 bits the guest may set (XSETBV faults on others).
    pub fn allowed_xcr0(&self) -> u64 {
        self.xsave.xcr0
    }

    /// CR4 bits the guest may set (MOV faults on others): those of features that it is told of (APM volume 2,
    /// 3.1.3; SDM volume 3, 2.5).
    pub fn allowed_cr4(&self) -> u64 {
        // The features as such: OSXSAVE and OSPKE, which follow CR4, are not asked for here.
        let of = |leaf| self.lookup(leaf, 0, &Live::default());
        let (basic, seven) = (of(1), of(7));
        f::CR4
            .into_iter()
            .filter(|(word, feature, _)| {
                let bits = match word {
                    f::Word::Leaf1Ecx => basic.ecx,
                    f::Word::Leaf1Edx => basic.edx,
                    f::Word::Leaf7Ebx => seven.ebx,
                    f::Word::Leaf7Ecx => seven.ecx,
                };
                bits & 1 << feature != 0
            })
            .fold(f::CR4_ALWAYS, |bits, (_, _, made)| bits | made)
    }

    /// Leaf 0Bh gives the APIC ID and the subleaf asked for even where there is no such level (SDM 2A).
    #[cold]
    fn past_the_end(&self, leaf: u32, subleaf: u32) -> Leaf {
        match leaf {
            // Its number and the x2APIC ID are in every subleaf (SDM 2, CPUID).
            0x0b => Leaf { ecx: subleaf & 0xff, edx: self.apic_id, ..Leaf::default() },
            _ => Leaf::default(),
        }
    }

    fn fill(&self, entry: Entry, live: &Live) -> Leaf {
        let mut leaf = entry.leaf;
        match entry.fill {
            Fill::Nothing => {}
            // By this bit software finds out whether it may use XGETBV: it follows CR4.
            Fill::Osxsave => {
                if live.cr4 & 1 << 18 != 0 {
                    leaf.ecx |= f::LEAF1_ECX_OSXSAVE;
                }
                leaf.edx &= f::without_apic(live.is_apic_off);
            }
            Fill::Apic => leaf.edx &= f::without_apic(live.is_apic_off),
            Fill::Ospke if live.cr4 & 1 << 22 != 0 => leaf.ecx |= f::LEAF7_ECX_OSPKE,
            Fill::Ospke => {}
            // Of what XCR0 enables now, so that an area of this size holds all of it.
            Fill::StandardSize => leaf.ebx = self.xsave.standard_bytes(live.xcr0),
            Fill::CompactedSize => leaf.ebx = self.xsave.compacted_bytes(live.xcr0),
        }
        leaf
    }
}

struct Builder<'a> {
    host: &'a mut dyn FnMut(u32, u32) -> Leaf,
    policy: CpuidPolicy,
    vendor: Vendor,
    table: CpuidTable,
    /// The host's highest leaves; beyond them it answers with something else.
    host_max_basic: u32,
    host_max_extended: u32,
}

impl<'a> Builder<'a> {
    fn new(host: &'a mut dyn FnMut(u32, u32) -> Leaf, policy: &CpuidPolicy) -> Self {
        // The host is asked directly here, since `ask` needs the answers.
        let leaf_0 = host(0, 0);
        let (features, max_extended) = (host(1, 0), host(EXTENDED, 0).eax);
        // A host may offer XSAVE without the leaf that describes it, or the other way round.
        let has_xsave = leaf_0.eax >= 0x0d && features.ecx & 1 << f::XSAVE != 0;
        let policy = CpuidPolicy { cpus: policy.cpus.max(1), ..*policy };
        // Protection keys go with their state.
        let understood = if policy.protection_keys { f::XCR0 } else { f::XCR0 & !f::XCR0_PKRU };
        let table = CpuidTable {
            basic: [Slot::default(); MAX_BASIC as usize + 1],
            extended: [Slot::default(); (MAX_EXTENDED - EXTENDED) as usize + 1],
            entries: Vec::new(),
            xsave: XsaveAreas::new(has_xsave, understood, policy.xsave_bytes, host),
            apic_id: policy.apic_id,
        };
        let vendor = Vendor::of(leaf_0);
        Self { host, policy, vendor, table, host_max_basic: leaf_0.eax, host_max_extended: max_extended }
    }

    /// The host's answer, 0 where it has none.
    fn ask(&mut self, leaf: u32, subleaf: u32) -> Leaf {
        let max = if leaf < EXTENDED { self.host_max_basic } else { self.host_max_extended };
        // Beyond its highest leaf a processor may return another leaf's values (SDM 2, CPUID).
        if leaf <= max { (self.host)(leaf, subleaf) } else { Leaf::default() }
    }

    fn put(&mut self, leaf: u32, fill: Fill, answer: Leaf) {
        self.put_subleaves(leaf, false, &[Entry { leaf: answer, fill }]);
    }

    fn put_subleaves(&mut self, leaf: u32, indexed: bool, entries: &[Entry]) {
        // Most leaves are the same for every subleaf and state; those are answered without a search.
        let plain = match entries {
            // With the APIC on, as it begins and in all likelihood stays.
            [Entry { leaf, fill: Fill::Nothing | Fill::Apic }] if !indexed => Some(*leaf),
            _ => None,
        };
        let slot = Slot {
            first: self.table.entries.len() as u16,
            count: entries.len() as u16,
            indexed,
            is_plain: plain.is_some(),
            plain: plain.unwrap_or_default(),
        };
        // Two tables, as the numbers in between are nobody's.
        let place = if leaf < EXTENDED {
            self.table.basic.get_mut(leaf as usize)
        } else {
            self.table.extended.get_mut((leaf - EXTENDED) as usize)
        };
        if let Some(place) = place {
            *place = slot;
            self.table.entries.extend_from_slice(entries);
        }
    }

    fn basic(&mut self) {
        let leaf_0 = self.ask(0, 0);
        // The vendor stays the host's: a guest chooses instructions and workarounds by it.
        self.put(0, Fill::Nothing, Leaf { eax: MAX_BASIC, ..leaf_0 });
        self.leaf_1();
        // AMD's caches are in the extended leaves.
        if self.vendor == Vendor::Other {
            self.caches(4, |policy, host| policy.cache_intel(host));
        }
        // The emulated timer runs in guest time, whatever state the host's processor is in.
        self.put(6, Fill::Nothing, Leaf { eax: f::LEAF6_EAX_ARAT, ..Leaf::default() });
        self.leaf_7();
        // Threads, then cores.
        let levels = [0, 1].map(|level| plain(self.policy.extended_topology(level)));
        self.put_subleaves(0x0b, true, &levels);
        self.leaf_d();
        self.frequencies();
    }

    fn leaf_1(&mut self) {
        let host = self.ask(1, 0);
        let cpus = self.policy.cpus;
        let mut ecx = host.ecx & f::LEAF1_ECX | f::LEAF1_ECX_EMULATED;
        if self.table.xsave.xcr0 & f::XCR0_AVX == 0 {
            // AVX, FMA and F16C fault without the state.
            ecx &= !(1 << f::AVX | 1 << 12 | 1 << 29);
        }
        if self.table.xsave.xcr0 == 0 {
            // A host that offers the instruction without the leaf that describes it gets neither shown.
            ecx &= !(1 << f::XSAVE);
        }
        // APIC and MTRRs are emulated, and PAT comes with nested paging, whatever the host says.
        let mut edx = host.edx & f::LEAF1_EDX | f::LEAF1_EDX_EMULATED;
        if cpus > 1 {
            edx |= f::LEAF1_EDX_HTT;
        }
        // CLFLUSH line of 64 bytes, number of logical processors, initial APIC ID.
        let ebx = 8 << 8 | cpus.next_power_of_two().min(255) << 16 | (self.policy.apic_id & 0xff) << 24;
        // Signature: stepping, model, family; the type field is 0.
        let eax = host.eax & 0x0fff_0fff;
        let fill = if self.table.xsave.xcr0 == 0 { Fill::Apic } else { Fill::Osxsave };
        self.put(1, fill, Leaf { eax, ebx, ecx, edx });
    }

    fn leaf_7(&mut self) {
        let (main, more) = (self.ask(7, 0), self.ask(7, 1));
        let xcr0 = self.table.xsave.xcr0;
        let mut ecx = f::LEAF7_ECX;
        let mut ebx = f::LEAF7_EBX;
        let mut more_eax = 1 << 4 | 1 << 5 | 1 << 10 | 1 << 11 | 1 << 12;
        if self.policy.tsc_aux {
            ecx |= f::LEAF7_ECX_RDPID;
        }
        if xcr0 & f::XCR0_AVX == 0 {
            ecx &= !f::LEAF7_ECX_AVX;
            ebx &= !f::LEAF7_EBX_AVX;
            more_eax &= !(1 << 4);
        }
        if xcr0 & f::XCR0_AVX512 == 0 {
            ecx &= !f::LEAF7_ECX_AVX512;
            ebx &= !f::LEAF7_EBX_AVX512;
            more_eax &= !(1 << 5);
        }
        if xcr0 & f::XCR0_PKRU == 0 {
            ecx &= !(1 << f::PKU);
        }
        let ebx = main.ebx & ebx | f::LEAF7_EBX_EMULATED;
        let (ecx, edx) = (main.ecx & ecx, main.edx & f::LEAF7_EDX);
        // Subleaf 1: AVX_VNNI, AVX512_BF16, fast zero-length and short REP forms.
        let more_eax = if main.eax >= 1 { more.eax & more_eax } else { 0 };
        let fill = if ecx & 1 << f::PKU != 0 { Fill::Ospke } else { Fill::Nothing };
        let first = Entry { leaf: Leaf { eax: 1, ebx, ecx, edx }, fill };
        self.put_subleaves(7, true, &[first, plain(Leaf { eax: more_eax, ..Leaf::default() })]);
    }

    fn leaf_d(&mut self) {
        if self.table.xsave.xcr0 == 0 {
            return;
        }
        // XSAVES stays hidden: its MSR would have to be switched.
        let instructions = self.ask(0x0d, 1).eax & f::LEAF_D1_EAX;
        let mut entries = Vec::new();
        entries.push(Entry { leaf: self.table.xsave.main_leaf(), fill: Fill::StandardSize });
        entries
            .push(Entry { leaf: Leaf { eax: instructions, ..Leaf::default() }, fill: Fill::CompactedSize });
        entries.extend((2..xsave::COMPONENTS).map(|i| plain(self.table.xsave.component(i))));
        self.put_subleaves(0x0d, true, &entries);
    }

    fn frequencies(&mut self) {
        let (denominator, numerator) = frequency::crystal_ratio(self.policy.tsc_hz, CRYSTAL_HZ);
        self.put(0x15, Fill::Nothing, Leaf { eax: denominator, ebx: numerator, ecx: CRYSTAL_HZ, edx: 0 });
        // The field has 16 bits.
        let mhz = (self.policy.tsc_hz / 1_000_000).min(0xffff) as u32;
        self.put(0x16, Fill::Nothing, Leaf { eax: mhz, ebx: mhz, ecx: 100, edx: 0 });
    }

    fn caches(&mut self, leaf: u32, adapt: impl Fn(&CpuidPolicy, Leaf) -> Leaf) {
        let mut entries = Vec::new();
        // Bounded, since a host may lie, and go on with caches for ever.
        for subleaf in 0..MAX_CACHES {
            let cache = self.ask(leaf, subleaf);
            if cache.eax & 0x1f == 0 {
                break;
            }
            entries.push(plain(adapt(&self.policy, cache)));
        }
        self.put_subleaves(leaf, true, &entries);
    }

    fn extended(&mut self) {
        let vendor = self.ask(0, 0);
        self.put(EXTENDED, Fill::Nothing, Leaf { eax: MAX_EXTENDED, ..vendor });
        self.extended_1();
        // The brand string, and the description of L1, L2 and TLBs: text and sizes, no features.
        for leaf in [2, 3, 4, 5, 6].map(|n| EXTENDED + n) {
            let host = self.ask(leaf, 0);
            self.put(leaf, Fill::Nothing, host);
        }
        let edx = if self.policy.invariant_tsc { f::EXT7_EDX_INVARIANT_TSC } else { 0 };
        self.put(EXTENDED + 7, Fill::Nothing, Leaf { edx, ..Leaf::default() });
        self.extended_8();
        if self.vendor == Vendor::Amd {
            let fp = self.ask(EXTENDED + 0x1a, 0).eax & f::EXT1A_EAX;
            self.put(EXTENDED + 0x1a, Fill::Nothing, Leaf { eax: fp, ..Leaf::default() });
            self.caches(EXTENDED + 0x1d, |policy, host| policy.cache_amd(host));
            let topology = self.policy.processor_topology();
            self.put(EXTENDED + 0x1e, Fill::Nothing, topology);
            let eax = self.ask(EXTENDED + 0x21, 0).eax & f::EXT21_EAX;
            self.put(EXTENDED + 0x21, Fill::Nothing, Leaf { eax, ..Leaf::default() });
        }
    }

    fn extended_1(&mut self) {
        let (host, basic) = (self.ask(EXTENDED + 1, 0), self.ask(1, 0));
        let mut ecx = host.ecx & f::EXT1_ECX;
        let mut edx = host.edx & f::EXT1_EDX;
        if self.table.xsave.xcr0 & f::XCR0_AVX == 0 {
            ecx &= !f::EXT1_ECX_AVX;
        }
        if self.policy.tsc_aux {
            edx |= host.edx & f::EXT1_EDX_RDTSCP;
        }
        let mut answer = Leaf { eax: 0, ebx: host.ebx, ecx, edx };
        if self.vendor == Vendor::Amd {
            // AMD repeats the signature here, without the type field that leaf 1 masks as well.
            answer.eax = basic.eax & 0x0fff_0fff;
            answer.ecx |= f::EXT1_ECX_TOPOLOGY;
            answer.edx |= (basic.edx & f::LEAF1_EDX | f::LEAF1_EDX_EMULATED) & f::EXT1_EDX_COPY;
            if self.policy.cpus > 1 {
                answer.ecx |= f::EXT1_ECX_CMP_LEGACY;
            }
        }
        // Only AMD's processors have the copy.
        let fill = if self.vendor == Vendor::Amd { Fill::Apic } else { Fill::Nothing };
        self.put(EXTENDED + 1, fill, answer);
    }

    fn extended_8(&mut self) {
        let host = self.ask(EXTENDED + 8, 0);
        // What a host says may be nonsense: no processor has fewer or more.
        let host_bits = (host.eax & 0xff).clamp(36, 52);
        let bits = host_bits.min(u32::from(self.policy.physical_bits).clamp(36, 52));
        let ecx = self.policy.core_count(self.vendor);
        self.put(
            EXTENDED + 8,
            Fill::Nothing,
            Leaf { eax: bits | 48 << 8, ebx: host.ebx & f::EXT8_EBX, ecx, edx: 0 },
        );
    }
}

fn plain(leaf: Leaf) -> Entry {
    Entry { leaf, fill: Fill::Nothing }
}
