//! Compound packets (RFC 3550 §6.1): SR or RR, SDES with CNAME, and an APP packet that fills up to the
//! size of a media packet, so that reports cannot be told from sound by their length.
//!
//! Written and read in place and without allocation; the `rtc-rtcp` crate judges both in the tests.

const VERSION_BITS: u8 = 2 << 6;
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const APPLICATION: u8 = 204;
const CNAME_ITEM: u8 = 1;
const HEADER_LEN: usize = 4;
const SSRC_LEN: usize = 4;
const SENDER_INFO_LEN: usize = 20;
const BLOCK_LEN: usize = 24;
/// Header, SSRC and name of an APP packet without data.
const LEAST_FILLER_LEN: usize = 12;
const FILLER_NAME: &[u8; 4] = b"fill";

/// Report blocks read from one packet; the header field allows no more.
const MAX_BLOCKS: usize = 31;

/// What a sender says about its own stream (§6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    /// The sender's clock, seconds since an arbitrary moment in 32.32 bits.
    pub ntp: u64,
    /// The same moment on the scale of its RTP timestamps.
    pub rtp_timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload bytes sent.
    pub octets: u32,
}

/// What a receiver says about the stream of one source (§6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlock {
    /// The stream reported about.
    pub ssrc: u32,
    /// Share of packets lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost in all; negative where duplicates outnumber losses.
    pub cumulative_lost: i32,
    /// Highest sequence number, with its wraps above 16 bits.
    pub highest_sequence: u32,
    /// Interarrival jitter in samples.
    pub jitter: u32,
    /// Middle 32 bits of the last sender report's clock.
    pub last_sender_report: u32,
    /// Time since that report came, in 1/65536 s.
    pub delay_since: u32,
}

/// One of our compound packets before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compound<'a> {
    /// Our source identifier.
    pub ssrc: u32,
    /// About our stream; none before anything was sent.
    pub sender: Option<SenderInfo>,
    /// About the other side's stream; none before anything came.
    pub block: Option<ReportBlock>,
    /// Our random name of this call.
    pub cname: &'a [u8],
}

impl Compound<'_> {
    /// Writes the packet to the front of `out`, filled up to exactly `total` bytes where given;
    /// returns its length. `None` where `out` is too short or `total` is no possible length.
    pub fn write(&self, out: &mut [u8], total: Option<usize>) -> Option<usize> {
        let at = self.write_report(out)?;
        let at = self.write_cname(out, at)?;
        match total {
            None => Some(at),
            Some(total) if total == at => Some(at),
            Some(total) => self.write_filler(out, at, total),
        }
    }

    fn write_report(&self, out: &mut [u8]) -> Option<usize> {
        let info_len = if self.sender.is_some() { SENDER_INFO_LEN } else { 0 };
        let block_len = if self.block.is_some() { BLOCK_LEN } else { 0 };
        let len = HEADER_LEN + SSRC_LEN + info_len + block_len;
        let packet_type = if self.sender.is_some() { SENDER_REPORT } else { RECEIVER_REPORT };
        let out = out.get_mut(..len)?;
        write_header(out, u8::from(self.block.is_some()), packet_type);
        out[4..8].copy_from_slice(&self.ssrc.to_be_bytes());
        if let Some(info) = self.sender {
            out[8..16].copy_from_slice(&info.ntp.to_be_bytes());
            out[16..20].copy_from_slice(&info.rtp_timestamp.to_be_bytes());
            out[20..24].copy_from_slice(&info.packets.to_be_bytes());
            out[24..28].copy_from_slice(&info.octets.to_be_bytes());
        }
        if let Some(block) = self.block {
            block.write(&mut out[HEADER_LEN + SSRC_LEN + info_len..]);
        }
        Some(len)
    }

    fn write_cname(&self, out: &mut [u8], at: usize) -> Option<usize> {
        let name_len = u8::try_from(self.cname.len()).ok()?;
        // At least one zero byte ends the items, then zeros up to a whole word (§6.5).
        let len = (HEADER_LEN + SSRC_LEN + 2 + self.cname.len() + 1).next_multiple_of(4);
        let out = out.get_mut(at..at + len)?;
        out.fill(0);
        write_header(out, 1, SOURCE_DESCRIPTION);
        out[4..8].copy_from_slice(&self.ssrc.to_be_bytes());
        out[8] = CNAME_ITEM;
        out[9] = name_len;
        out[10..10 + self.cname.len()].copy_from_slice(self.cname);
        Some(at + len)
    }

    fn write_filler(&self, out: &mut [u8], at: usize, total: usize) -> Option<usize> {
        let len = total.checked_sub(at)?;
        if len < LEAST_FILLER_LEN || !len.is_multiple_of(4) {
            return None;
        }
        let out = out.get_mut(at..total)?;
        out.fill(0);
        write_header(out, 0, APPLICATION);
        out[4..8].copy_from_slice(&self.ssrc.to_be_bytes());
        out[8..12].copy_from_slice(FILLER_NAME);
        Some(total)
    }
}

impl ReportBlock {
    fn write(&self, out: &mut [u8]) {
        out[0..4].copy_from_slice(&self.ssrc.to_be_bytes());
        let lost = self.cumulative_lost.clamp(-(1 << 23), (1 << 23) - 1);
        out[4..8].copy_from_slice(&lost.to_be_bytes());
        out[4] = self.fraction_lost;
        out[8..12].copy_from_slice(&self.highest_sequence.to_be_bytes());
        out[12..16].copy_from_slice(&self.jitter.to_be_bytes());
        out[16..20].copy_from_slice(&self.last_sender_report.to_be_bytes());
        out[20..24].copy_from_slice(&self.delay_since.to_be_bytes());
    }

    fn parse(bytes: &[u8; BLOCK_LEN]) -> Self {
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Self {
            ssrc: word(0),
            fraction_lost: bytes[4],
            // The low 24 bits are signed: shift them up and back.
            cumulative_lost: ((word(4) << 8) as i32) >> 8,
            highest_sequence: word(8),
            jitter: word(12),
            last_sender_report: word(16),
            delay_since: word(20),
        }
    }
}

/// What one report of a received compound packet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// The sender about its own stream.
    Sender(SenderInfo),
    /// The other side about one stream.
    Block(ReportBlock),
}

/// Reads a decrypted compound packet and hands each report to `handle`; packets of other kinds are
/// skipped. False where a length or version does not fit; what came before it has been handed over.
pub fn parse(packet: &[u8], mut handle: impl FnMut(Report)) -> bool {
    let mut rest = packet;
    while !rest.is_empty() {
        let Some(header) = rest.first_chunk::<HEADER_LEN>() else { return false };
        if header[0] & 0xc0 != VERSION_BITS {
            return false;
        }
        let words = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let Some((one, after)) = rest.split_at_checked((words + 1) * 4) else { return false };
        let count = usize::from(header[0] & 0x1f);
        let read = match header[1] {
            SENDER_REPORT => parse_sender(one, count, &mut handle),
            RECEIVER_REPORT => parse_blocks(one, HEADER_LEN + SSRC_LEN, count, &mut handle),
            _ => true,
        };
        if !read {
            return false;
        }
        rest = after;
    }
    !packet.is_empty()
}

fn parse_sender(packet: &[u8], count: usize, handle: &mut impl FnMut(Report)) -> bool {
    let Some(info) = packet.get(HEADER_LEN + SSRC_LEN..).and_then(|rest| rest.first_chunk::<SENDER_INFO_LEN>()) else {
        return false;
    };
    let word = |at: usize| u32::from_be_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]);
    handle(Report::Sender(SenderInfo {
        ntp: (u64::from(word(0)) << 32) | u64::from(word(4)),
        rtp_timestamp: word(8),
        packets: word(12),
        octets: word(16),
    }));
    parse_blocks(packet, HEADER_LEN + SSRC_LEN + SENDER_INFO_LEN, count, handle)
}

fn parse_blocks(packet: &[u8], at: usize, count: usize, handle: &mut impl FnMut(Report)) -> bool {
    debug_assert!(count <= MAX_BLOCKS);
    let Some(blocks) = packet.get(at..) else { return false };
    let (blocks, _extension) = blocks.as_chunks::<BLOCK_LEN>();
    if blocks.len() < count {
        return false;
    }
    blocks[..count].iter().for_each(|block| handle(Report::Block(ReportBlock::parse(block))));
    true
}

fn write_header(packet: &mut [u8], count: u8, packet_type: u8) {
    let words = (packet.len() / 4 - 1) as u16;
    packet[0] = VERSION_BITS | count;
    packet[1] = packet_type;
    packet[2..4].copy_from_slice(&words.to_be_bytes());
}
