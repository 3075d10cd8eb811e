//! Encoder and decoder together.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::synthetic_speech::{Random, align, correlation, level, speech};

const FRAME: usize = 960;

#[test]
fn speech_and_silence_fill_exactly_the_bytes_given() {
    for ptime_ms in FRAME_DURATIONS_MS {
        let samples = usize::from(ptime_ms) * 48;
        let mut encoder = Encoder::new(ptime_ms, 77).unwrap();
        assert_eq!(encoder.frame_samples(), samples);
        for (n, frame) in speech(1, samples * 50).chunks(samples).enumerate() {
            let len = if n % 3 == 0 { 70 } else { 77 };
            let mut packet = vec![0u8; len + 1];
            packet[len] = 0xa5;
            if n % 10 < 7 {
                encoder.encode(frame, &mut packet[..len]).unwrap();
            } else {
                encoder.encode_silence(&mut packet[..len]).unwrap();
            }
            assert_eq!(packet[len], 0xa5);
            assert_eq!(packet_samples(&packet[..len]), Some(samples));
            assert_eq!(opus::packet::get_nb_frames(&packet[..len]).unwrap() * samples % samples, 0);
        }
    }
}

#[test]
fn decoded_speech_is_what_was_said() {
    let said = speech(2, FRAME * 150);
    let heard = decode_all(&encode_all(&said, 77, 0));
    let (lag, alike) = align(&said[..FRAME * 140], &heard, 960);
    // What is missing to 1 is the phase of the encoder's high-pass, at any bit rate.
    assert!(alike > 0.92 && lag < 400, "correlation {alike} at {lag}");
    let wide = decode_all(&encode_all(&said, 120, 0));
    assert!(align(&said[..FRAME * 140], &wide, 960).1 > 0.92);
}

#[test]
fn a_lost_frame_is_rebuilt_better_from_fec_than_made_up() {
    let said = speech(3, FRAME * 200);
    let packets = encode_all(&said, 77, 20);
    let whole = decode_all(&packets);
    let with_fec = decode_with_losses(&packets, true);
    let without = decode_with_losses(&packets, false);
    let score = |heard: &[f32]| {
        let lost =
            (1..20).map(|n| n * 10 * FRAME).map(|at| correlation(&whole[at..at + FRAME], &heard[at..at + FRAME], 1));
        lost.sum::<f32>() / 19.0
    };
    let (fec, made_up) = (score(&with_fec), score(&without));
    assert!(fec > made_up && fec > 0.7, "fec {fec}, concealed {made_up}");
}

#[test]
fn concealment_keeps_sounding_and_takes_only_whole_steps() {
    let packets = encode_all(&speech(4, FRAME * 20), 77, 0);
    let mut decoder = Decoder::new().unwrap();
    let mut pcm = vec![0.0; FRAME];
    for packet in &packets[..10] {
        decoder.decode(packet, &mut pcm).unwrap();
    }
    assert_eq!(decoder.conceal(&mut pcm), Ok(FRAME));
    assert!(level(&pcm) > 0.0);
    assert_eq!(decoder.conceal(&mut pcm[..100]), Err(CodecError::FrameLength));
    assert_eq!(decoder.conceal(&mut []), Err(CodecError::FrameLength));
}

#[test]
fn sound_that_is_no_number_is_encoded_as_silence() {
    let mut encoder = Encoder::new(20, 77).unwrap();
    let mut packet = [0; 77];
    for bad in [f32::NAN, f32::INFINITY, -1e30] {
        encoder.encode(&[bad; FRAME], &mut packet).unwrap();
    }
    assert_eq!(encoder.encode(&[0.0; FRAME - 1], &mut packet), Err(CodecError::FrameLength));
    assert!(Encoder::new(25, 77).is_err());
}

#[test]
fn garbage_is_refused_or_decoded_but_never_breaks_anything() {
    let mut random = Random(9);
    let mut decoder = Decoder::new().unwrap();
    let mut pcm = vec![0.0; MAX_PACKET_SAMPLES];
    assert!(packet_samples(&[]).is_none() && packet_samples(&[0; MAX_PACKET_LEN + 1]).is_none());
    for _ in 0..3_000 {
        let len = random.below(200);
        let garbage: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        has_fec(&garbage);
        if let Ok(count) = decoder.decode(&garbage, &mut pcm) {
            assert!(pcm[..count].iter().all(|sample| sample.is_finite()));
        }
        let _ = decoder.decode_fec(&garbage, &mut pcm[..FRAME]);
    }
}

fn encode_all(said: &[f32], len: usize, loss: u8) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(20, len).unwrap();
    encoder.set_expected_loss(loss);
    let encode = |frame: &[f32]| {
        let mut packet = vec![0; len];
        encoder.encode(frame, &mut packet).unwrap();
        packet
    };
    said.chunks_exact(FRAME).map(encode).collect()
}

fn decode_all(packets: &[Vec<u8>]) -> Vec<f32> {
    let mut decoder = Decoder::new().unwrap();
    let mut heard = vec![0.0; packets.len() * FRAME];
    for (packet, pcm) in packets.iter().zip(heard.chunks_mut(FRAME)) {
        assert_eq!(decoder.decode(packet, pcm), Ok(FRAME));
    }
    heard
}

/// Every tenth packet is lost.
fn decode_with_losses(packets: &[Vec<u8>], fec: bool) -> Vec<f32> {
    let mut decoder = Decoder::new().unwrap();
    let mut heard = vec![0.0; packets.len() * FRAME];
    for (n, pcm) in heard.chunks_mut(FRAME).enumerate() {
        let result = match (n > 0 && n % 10 == 0, packets.get(n + 1)) {
            (true, Some(next)) if fec => decoder.decode_fec(next, pcm),
            (true, _) => decoder.conceal(pcm),
            (false, _) => decoder.decode(&packets[n], pcm),
        };
        result.unwrap();
    }
    heard
}
