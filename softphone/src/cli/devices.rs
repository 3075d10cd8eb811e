//! `undertone devices`: microphones and speakers, as `--mic` and `--speaker` take them.

use std::io::{self, Write};

use crate::audio::device::{self, DeviceInfo};

/// Lists them.
///
/// # Errors
/// When nothing can be written.
pub fn run(json: bool, out: &mut impl Write) -> io::Result<()> {
    write_list(&device::list(), json, out)
}

fn write_list(devices: &[DeviceInfo], json: bool, out: &mut impl Write) -> io::Result<()> {
    if json {
        return devices
            .iter()
            .try_for_each(|device| writeln!(out, "{}", serde_json::to_string(device).unwrap_or_default()));
    }
    for kind in ["microphone", "speaker"] {
        let mut found = devices.iter().filter(|device| device.kind == kind).peekable();
        if found.peek().is_none() {
            writeln!(out, "No {kind} was found.")?;
            continue;
        }
        writeln!(out, "{}s:", capitalised(kind))?;
        for device in found {
            let mark = if device.default { " (default)" } else { "" };
            writeln!(out, "  {}{mark}\n      {}, {}", device.name, device.id, device.system)?;
        }
    }
    Ok(())
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_grouped_for_people_and_one_json_line_each_for_programs() {
        let microphone = DeviceInfo {
            kind: "microphone",
            name: "USB Headset".into(),
            id: "alsa_input.usb".into(),
            default: true,
            system: "PulseAudio".into(),
        };
        let mut out = Vec::new();
        write_list(std::slice::from_ref(&microphone), false, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.contains("Microphones:\n  USB Headset (default)") && text.contains("No speaker was found."),
            "{text}"
        );
        let mut out = Vec::new();
        write_list(&[microphone.clone(), microphone], true, &mut out).unwrap();
        let lines: Vec<serde_json::Value> =
            String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["name"], "USB Headset");
    }
}
