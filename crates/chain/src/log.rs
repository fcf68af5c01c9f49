//! The durable log of sealed blocks: the truth from which everything else is rebuilt.
//!
//! One file, append-only. A block is written and synced before anyone can see it, so a block that
//! was seen survives `kill -9` and power loss. Cost: one write and one `fdatasync` a block.
//!
//! Format, integers little-endian:
//!
//! ```text
//! file   = "MACHINA.BLOCKS.1" chain-id:u64 genesis-hash:[32] check:[8]  frame*
//! frame  = "BLK1" length:u32 check:[4]  payload:[length]  check:[8]
//! payload = RLP header, RLP list of EIP-2718 transactions, RLP string of their senders, 20 B each
//! ```
//!
//! A check is the beginning of the Keccak-256 of all that precedes it in its frame half (of the
//! file head; of marker and length; of the payload). Senders are kept so that replay need not
//! recover signatures, which is nine tenths of its cost.
//!
//! A frame that does not check is a *torn tail* if no intact frame follows it: the append that
//! power loss interrupted, never seen by anyone. It is moved aside to a file of its own, and the
//! log ends before it. If an intact frame does follow, the middle is damaged, and the log is
//! refused: blocks that people saw would be lost in silence.

use crate::{block::Block, error::ChainError, transaction::Transaction};
use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_rlp::{Decodable, Encodable};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

const FILE_NAME: &str = "blocks.log";
const LOCK_NAME: &str = "lock";
const FILE_MAGIC: &[u8; 16] = b"MACHINA.BLOCKS.1";
const FILE_HEAD: usize = 16 + 8 + 32 + 8;
const FRAME_MAGIC: &[u8; 4] = b"BLK1";
const FRAME_HEAD: usize = 4 + 4 + 4;
const FRAME_CHECK: usize = 8;

/// The largest payload that is read or written. A block of 100 M gas holds 10 MB of transactions
/// at most, at the 10 gas a byte that EIP-7623 asks for zeros.
const MAX_PAYLOAD: usize = 256 << 20;

/// Where frames go. A seam for one reason: tests interrupt the real file's writes through it.
pub(crate) trait Medium: Read + Write + Seek + Send {
    fn set_len(&mut self, length: u64) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
}

impl Medium for File {
    fn set_len(&mut self, length: u64) -> io::Result<()> {
        File::set_len(self, length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// A block as the log tells it, not yet executed.
pub(crate) struct Recorded {
    pub(crate) header: Header,
    pub(crate) transactions: Vec<Arc<Transaction>>,
}

/// The open log. The directory is ours while it lives.
pub(crate) struct BlockLog {
    medium: Box<dyn Medium>,
    path: PathBuf,
    /// Bytes up to the end of the last intact frame.
    length: u64,
    /// Whether a failed append may have left bytes behind `length`.
    dirty: bool,
    /// Held for its lock.
    _lock: File,
}

impl BlockLog {
    /// Opens the log in `directory`, or begins it. Takes the directory's lock, so that no second
    /// process can.
    pub(crate) fn open(directory: &Path, chain_id: u64, genesis: B256) -> Result<Self, ChainError> {
        let at = |path: &Path| {
            let path = path.to_path_buf();
            move |source| ChainError::Io { path, source }
        };
        std::fs::create_dir_all(directory).map_err(at(directory))?;
        let lock_path = directory.join(LOCK_NAME);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(at(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(ChainError::InUse { directory: directory.to_path_buf() });
            }
            Err(std::fs::TryLockError::Error(source)) => return Err(at(&lock_path)(source)),
        }
        let path = directory.join(FILE_NAME);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(at(&path))?;
        let found = file.metadata().map_err(at(&path))?.len();
        let head = file_head(chain_id, genesis);
        if found < FILE_HEAD as u64 {
            // Nothing was ever sealed: begin, or begin again where the power failed.
            begin(&mut file, &head, directory).map_err(at(&path))?;
        } else {
            let mut read = [0; FILE_HEAD];
            file.read_exact(&mut read).map_err(at(&path))?;
            check_head(&read, &path, chain_id, genesis)?;
        }
        let length = FILE_HEAD as u64;
        Ok(Self { medium: Box::new(file), path, length, dirty: false, _lock: lock })
    }

    /// Reads the log from its beginning, hands each block to `visit`, and stands ready to append.
    pub(crate) fn replay(
        &mut self,
        mut visit: impl FnMut(Recorded) -> Result<(), ChainError>,
    ) -> Result<(), ChainError> {
        let end = self.seek_end().map_err(|source| self.io(source))?;
        self.length = FILE_HEAD as u64;
        while self.length < end {
            let frame = self.read_frame(self.length, end).map_err(|source| self.io(source))?;
            let Some(payload) = frame else {
                if let Some(next) = self.find_frame(end).map_err(|source| self.io(source))? {
                    return Err(ChainError::Corrupt {
                        path: self.path.clone(),
                        offset: self.length,
                        next,
                    });
                }
                return self.cut(end).map_err(|source| self.io(source));
            };
            let recorded = decode(&payload).map_err(|reason| ChainError::Unreadable {
                path: self.path.clone(),
                offset: self.length,
                reason,
            })?;
            visit(recorded)?;
            self.length += frame_length(payload.len());
        }
        Ok(())
    }

    /// Writes a block and waits until it is on the disk. After an error the log is as before: the
    /// same block, or another at its height, can be appended later.
    pub(crate) fn append(&mut self, block: &Block) -> io::Result<()> {
        let payload = encode(&block.header, &block.transactions);
        assert!(payload.len() <= MAX_PAYLOAD, "the block gas limit bounds a block's bytes");
        if self.dirty {
            self.medium.set_len(self.length)?;
            self.dirty = false;
        }
        let mut frame = Vec::with_capacity(FRAME_HEAD + payload.len() + FRAME_CHECK);
        frame.extend_from_slice(&frame_head(payload.len()));
        frame.extend_from_slice(&payload);
        frame.extend_from_slice(&check::<FRAME_CHECK>(&payload));
        let written = self
            .medium
            .seek(SeekFrom::Start(self.length))
            .and_then(|_| self.medium.write_all(&frame))
            .and_then(|()| self.medium.sync());
        match written {
            Ok(()) => {
                self.length += frame.len() as u64;
                Ok(())
            }
            Err(error) => {
                // After a failed sync the kernel may have forgotten which pages were dirty;
                // cutting and writing anew makes them dirty again.
                self.dirty = self.medium.set_len(self.length).is_err();
                Err(error)
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn io(&self, source: io::Error) -> ChainError {
        ChainError::Io { path: self.path.clone(), source }
    }

    fn seek_end(&mut self) -> io::Result<u64> {
        self.medium.seek(SeekFrom::End(0))
    }

    /// The payload of the frame at `offset`, if an intact one is there.
    fn read_frame(&mut self, offset: u64, end: u64) -> io::Result<Option<Vec<u8>>> {
        if end - offset < frame_length(0) {
            return Ok(None);
        }
        let mut head = [0; FRAME_HEAD];
        self.medium.seek(SeekFrom::Start(offset))?;
        self.medium.read_exact(&mut head)?;
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if head != frame_head(length) || length > MAX_PAYLOAD || end - offset < frame_length(length)
        {
            return Ok(None);
        }
        let mut payload = vec![0; length];
        let mut sum = [0; FRAME_CHECK];
        self.medium.read_exact(&mut payload)?;
        self.medium.read_exact(&mut sum)?;
        Ok((check::<FRAME_CHECK>(&payload) == sum).then_some(payload))
    }

    /// Where the next intact frame begins behind the broken one at `self.length`.
    fn find_frame(&mut self, end: u64) -> io::Result<Option<u64>> {
        const WINDOW: usize = 1 << 20;
        let mut start = self.length + 1;
        let mut window = vec![0; WINDOW];
        while start + frame_length(0) <= end {
            let length = WINDOW.min((end - start) as usize);
            self.medium.seek(SeekFrom::Start(start))?;
            self.medium.read_exact(&mut window[..length])?;
            for (index, bytes) in window[..length].windows(FRAME_MAGIC.len()).enumerate() {
                let offset = start + index as u64;
                if bytes == FRAME_MAGIC && self.read_frame(offset, end)?.is_some() {
                    return Ok(Some(offset));
                }
            }
            // Windows overlap, so that a marker on their border is seen.
            start += (length - (FRAME_MAGIC.len() - 1)) as u64;
        }
        Ok(None)
    }

    /// Moves the torn tail aside and ends the log before it.
    fn cut(&mut self, end: u64) -> io::Result<()> {
        let mut tail = Vec::new();
        self.medium.seek(SeekFrom::Start(self.length))?;
        self.medium.read_to_end(&mut tail)?;
        let aside = self.path.with_extension(format!("torn-{}", self.length));
        std::fs::write(&aside, &tail)?;
        self.medium.set_len(self.length)?;
        self.medium.sync()?;
        tracing::warn!(
            log = %self.path.display(),
            bytes = end - self.length,
            aside = %aside.display(),
            "the last append was interrupted before anyone saw its block; moved it aside"
        );
        Ok(())
    }
}

#[cfg(test)]
impl BlockLog {
    /// The same log on another medium.
    pub(crate) fn on(mut self, wrap: impl FnOnce(Box<dyn Medium>) -> Box<dyn Medium>) -> Self {
        self.medium = wrap(self.medium);
        self
    }
}

fn check<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut sum = [0; N];
    sum.copy_from_slice(&keccak256(bytes)[..N]);
    sum
}

fn frame_head(length: usize) -> [u8; FRAME_HEAD] {
    let mut head = [0; FRAME_HEAD];
    head[..4].copy_from_slice(FRAME_MAGIC);
    head[4..8].copy_from_slice(&(length as u32).to_le_bytes());
    let sum = check::<4>(&head[..8]);
    head[8..].copy_from_slice(&sum);
    head
}

fn frame_length(payload: usize) -> u64 {
    (FRAME_HEAD + payload + FRAME_CHECK) as u64
}

fn file_head(chain_id: u64, genesis: B256) -> [u8; FILE_HEAD] {
    let mut head = [0; FILE_HEAD];
    head[..16].copy_from_slice(FILE_MAGIC);
    head[16..24].copy_from_slice(&chain_id.to_le_bytes());
    head[24..56].copy_from_slice(genesis.as_slice());
    let sum = check::<8>(&head[..56]);
    head[56..].copy_from_slice(&sum);
    head
}

fn begin(file: &mut File, head: &[u8], directory: &Path) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all(head)?;
    file.sync_all()?;
    // The new name must survive too.
    File::open(directory)?.sync_all()
}

fn check_head(
    head: &[u8; FILE_HEAD],
    path: &Path,
    chain_id: u64,
    genesis: B256,
) -> Result<(), ChainError> {
    if head[..16] != FILE_MAGIC[..] || head[56..] != check::<8>(&head[..56]) {
        return Err(ChainError::NotALog { path: path.to_path_buf() });
    }
    let mut id = [0; 8];
    id.copy_from_slice(&head[16..24]);
    let found = (u64::from_le_bytes(id), B256::from_slice(&head[24..56]));
    if found != (chain_id, genesis) {
        return Err(ChainError::OtherGenesis {
            path: path.to_path_buf(),
            found_chain_id: found.0,
            found: found.1,
            expected_chain_id: chain_id,
            expected: genesis,
        });
    }
    Ok(())
}

fn encode(header: &Header, transactions: &[Arc<Transaction>]) -> Vec<u8> {
    let mut payload = Vec::new();
    header.encode(&mut payload);
    let raws: Vec<Bytes> = transactions.iter().map(|tx| tx.raw()).collect();
    raws.encode(&mut payload);
    let senders: Vec<u8> = transactions.iter().flat_map(|tx| tx.sender.0.0).collect();
    senders.as_slice().encode(&mut payload);
    payload
}

fn decode(mut payload: &[u8]) -> Result<Recorded, String> {
    let rlp = |error: alloy_rlp::Error| error.to_string();
    let header = Header::decode(&mut payload).map_err(rlp)?;
    let raws = Vec::<Bytes>::decode(&mut payload).map_err(rlp)?;
    let senders = Bytes::decode(&mut payload).map_err(rlp)?;
    if !payload.is_empty() || senders.len() != raws.len() * Address::len_bytes() {
        return Err("the frame's parts do not fit together".into());
    }
    let transactions = raws
        .iter()
        .zip(senders.chunks_exact(Address::len_bytes()))
        .map(|(raw, sender)| Transaction::trusted(raw, Address::from_slice(sender)).map(Arc::new))
        .collect::<Result<_, _>>()
        .map_err(|refusal| refusal.to_string())?;
    Ok(Recorded { header, transactions })
}
