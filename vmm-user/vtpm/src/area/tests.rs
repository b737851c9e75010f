use alloc::sync::Arc;

use runtime::sync::Mutex;

use super::*;

/// A disk that others see.
#[derive(Clone)]
pub struct Plate {
    pub bytes: Arc<Mutex<Vec<u8>>>,
    pub is_read_only: bool,
    /// How many writes are flushed.
    pub flushed: Arc<Mutex<(u32, u32)>>,
}

impl Plate {
    pub fn new(bytes: u64) -> Self {
        let bytes = Arc::new(Mutex::new(vec![0; bytes as usize]));
        Self { bytes, is_read_only: false, flushed: Arc::default() }
    }
}

impl Disk for Plate {
    fn bytes(&self) -> u64 {
        self.bytes.lock().len() as u64
    }

    fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), DiskError> {
        assert!(bytes.len() <= BUFFER_BYTES);
        bytes.copy_from_slice(&self.bytes.lock()[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        assert!(bytes.len() <= BUFFER_BYTES);
        self.bytes.lock()[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        self.flushed.lock().0 += 1;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        let mut flushed = self.flushed.lock();
        flushed.1 = flushed.0;
        Ok(())
    }

    fn discard(&mut self, _: u64, _: u64) -> Result<(), DiskError> {
        Err(DiskError)
    }

    fn write_zeroes(&mut self, _: u64, _: u64) -> Result<(), DiskError> {
        Err(DiskError)
    }
}

/// A key of the tests'.
pub fn key(salt: u8) -> Vec<u8> {
    (0..64).map(|at| at ^ salt).collect()
}

#[test]
fn slots_keep_what_is_written() {
    let plate = Plate::new(AREA_BYTES);
    let long: Vec<u8> = (0..150_001u32).map(|at| (at / 7) as u8).collect();
    let mut area = Area::open(plate.clone(), &key(0)).unwrap();
    assert_eq!((area.read(0), area.read(1)), (Ok(vec![]), Ok(vec![])));
    assert_eq!(area.write(1, &long), Ok(()));
    assert_eq!(*plate.flushed.lock(), (3, 3), "it is on the disk when the write is over");
    assert_eq!((area.read(0), area.read(1).as_ref()), (Ok(vec![]), Ok(&long)));
    // Another process, later.
    let mut area = Area::open(plate.clone(), &key(0)).unwrap();
    assert_eq!((area.read(0), area.read(1).as_ref()), (Ok(vec![]), Ok(&long)));
    assert_eq!((area.write(0, b"short"), area.write(1, b"")), (Ok(()), Ok(())));
    let mut area = Area::open(plate.clone(), &key(0)).unwrap();
    assert_eq!((area.read(0), area.read(1)), (Ok(b"short".to_vec()), Ok(vec![])));
    assert!(!plate.bytes.lock().windows(5).any(|window| window == b"short"));
    // What is not there, or too much.
    assert!(area.read(2).is_err() && area.write(2, b"").is_err());
    let before = plate.bytes.lock().clone();
    assert!(area.write(0, &vec![1; SLOT_BYTES as usize - 511]).is_err());
    assert!(*plate.bytes.lock() == before);
    assert_eq!(area.write(1, &vec![1; SLOT_BYTES as usize - 512]), Ok(()));
    assert_eq!(area.read(0), Ok(b"short".to_vec()));
}

#[test]
fn what_is_no_slot_is_not_nothing() {
    let plate = Plate::new(AREA_BYTES + 512);
    // The last sector of a slot is enough for it to be in use.
    plate.bytes.lock()[SLOT_BYTES as usize - 1] = 1;
    plate.bytes.lock()[AREA_BYTES as usize] = 1;
    let mut area = Area::open(plate.clone(), &key(0)).unwrap();
    assert_eq!((area.read(0).map(|bytes| bytes.len()), area.read(1)), (Ok(512), Ok(vec![])));
    assert_eq!(area.write(0, b"short"), Ok(()));
    // By another key, and with a length that there is not.
    assert_eq!(Area::open(plate.clone(), &key(1)).unwrap().read(0).map(|bytes| bytes.len()), Ok(512));
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    for (length, expected) in [(0, Some(0)), (0x3_fe00, Some(0x3_fe00)), (0x3_fe01, None), (u64::MAX, None)] {
        header[8..16].copy_from_slice(&length.to_le_bytes());
        assert_eq!(super::length(&header), expected);
    }
}

#[test]
fn a_disk_that_can_not_have_it_says_why() {
    let open = |plate: Plate, key: &[u8]| Area::open(plate, key).err().map(|error| alloc::format!("{error}"));
    let small = Plate::new(AREA_BYTES - 512);
    assert_eq!(open(small, &key(0)).unwrap(), "the disk has 523776 bytes, and needs 524288");
    let read_only = Plate { is_read_only: true, ..Plate::new(AREA_BYTES) };
    assert_eq!(open(read_only, &key(0)).unwrap(), "the disk can't be written");
    let short = open(Plate::new(AREA_BYTES), &[1; 63]);
    assert_eq!(short.unwrap(), "its key: it has 63 bytes and not 64");
}
