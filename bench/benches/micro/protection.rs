//! SRTP beside the bare AEAD of the same crate (`ring`), same size, same run: the difference is our own work.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use undertone_media::dtls::Role;
use undertone_media::rtp::{HEADER_LEN, Header};
use undertone_media::srtp::{Context, ExporterBlock, Profile, SsrcPolicy};

/// Payloads: of a foreign phone at a low rate, and of one of our packets.
const PAYLOADS: [usize; 2] = [80, 160];
const TAG_LEN: usize = 16;
const ROOM: usize = 256;
/// Packets prepared before the clock runs.
const BATCH: u64 = 512;

pub(crate) fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("srtp AES-256-GCM");
    for payload in PAYLOADS {
        group.throughput(Throughput::Bytes(payload as u64));
        protect(&mut group, payload);
        bare_seal(&mut group, payload);
        unprotect(&mut group, payload);
        bare_open(&mut group, payload);
    }
    group.finish();
}

fn protect(group: &mut BenchmarkGroup<'_, WallTime>, payload: usize) {
    let (mut sender, _) = contexts();
    let mut sequence = 0;
    let mut packet = [0; ROOM];
    group.bench_function(format!("protect {payload} B"), |b| {
        b.iter(|| {
            write_header(&mut packet, &mut sequence);
            sender.protect_rtp(black_box(&mut packet), HEADER_LEN + payload).unwrap()
        });
    });
}

fn unprotect(group: &mut BenchmarkGroup<'_, WallTime>, payload: usize) {
    let (mut sender, mut receiver) = contexts();
    let mut sequence = 0;
    group.bench_function(format!("unprotect {payload} B"), |b| {
        b.iter_custom(|iterations| {
            timed_batches(iterations, |count| {
                let mut packets: Vec<([u8; ROOM], usize)> = (0..count)
                    .map(|_| {
                        let mut packet = [0; ROOM];
                        write_header(&mut packet, &mut sequence);
                        let len = sender.protect_rtp(&mut packet, HEADER_LEN + payload).unwrap();
                        (packet, len)
                    })
                    .collect();
                let start = Instant::now();
                for (packet, len) in &mut packets {
                    black_box(receiver.unprotect_rtp(black_box(&mut packet[..*len])).unwrap());
                }
                start.elapsed()
            })
        });
    });
}

fn bare_seal(group: &mut BenchmarkGroup<'_, WallTime>, payload: usize) {
    let key = bare_key();
    let mut packet = [0; ROOM];
    let mut sequence = 0;
    group.bench_function(format!("bare seal {payload} B"), |b| {
        b.iter(|| {
            write_header(&mut packet, &mut sequence);
            seal(&key, black_box(&mut packet), payload)
        });
    });
}

fn bare_open(group: &mut BenchmarkGroup<'_, WallTime>, payload: usize) {
    let key = bare_key();
    let mut sequence = 0;
    group.bench_function(format!("bare open {payload} B"), |b| {
        b.iter_custom(|iterations| {
            timed_batches(iterations, |count| {
                let mut packets: Vec<[u8; ROOM]> = (0..count)
                    .map(|_| {
                        let mut packet = [0; ROOM];
                        write_header(&mut packet, &mut sequence);
                        seal(&key, &mut packet, payload);
                        packet
                    })
                    .collect();
                let start = Instant::now();
                for packet in &mut packets {
                    let (header, rest) = black_box(packet).split_at_mut(HEADER_LEN);
                    let opened =
                        key.open_in_place(nonce(header), Aad::from(&*header), &mut rest[..payload + TAG_LEN]).unwrap();
                    black_box(opened.len());
                }
                start.elapsed()
            })
        });
    });
}

fn timed_batches(iterations: u64, mut batch: impl FnMut(u64) -> Duration) -> Duration {
    let whole = (0..iterations / BATCH).map(|_| batch(BATCH)).sum::<Duration>();
    whole + batch(iterations % BATCH)
}

fn seal(key: &LessSafeKey, packet: &mut [u8; ROOM], payload: usize) -> usize {
    let (header, rest) = packet.split_at_mut(HEADER_LEN);
    let (body, tag_room) = rest.split_at_mut(payload);
    let tag = key.seal_in_place_separate_tag(nonce(header), Aad::from(&*header), body).unwrap();
    tag_room[..TAG_LEN].copy_from_slice(tag.as_ref());
    HEADER_LEN + payload + TAG_LEN
}

/// As cheap as a nonce can be, so that SRTP is compared with the cipher and nothing else.
fn nonce(header: &[u8]) -> Nonce {
    Nonce::assume_unique_for_key(*header.first_chunk().unwrap())
}

fn bare_key() -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap())
}

fn contexts() -> (Context, Context) {
    let profile = Profile::AeadAes256Gcm;
    let keys = ExporterBlock::new(profile, &vec![7; profile.exporter_len()]).unwrap();
    (Context::new(&keys, Role::Client, SsrcPolicy::Fixed), Context::new(&keys, Role::Server, SsrcPolicy::Fixed))
}

fn write_header(packet: &mut [u8], sequence: &mut u16) {
    let timestamp = u32::from(*sequence) * 960;
    Header { payload_type: 112, marker: false, sequence: *sequence, timestamp, ssrc: 0x1234_5678 }.write(packet);
    *sequence = sequence.wrapping_add(1);
}
