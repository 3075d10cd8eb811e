//! The machine's sound devices: the native PulseAudio host first (PipeWire answers there too), then ALSA.

use cpal::HostId;
use cpal::traits::{DeviceTrait, HostTrait};
use serde::Serialize;

use super::error::{End, SoundError};

/// What ALSA lists besides devices: converters that need a device of their own, and a device without a clock.
const ALSA_PLUGINS: [&str; 10] =
    ["null", "lavrate", "samplerate", "speexrate", "jack", "oss", "speex", "upmix", "vdownmix", "file"];

/// One device as `undertone devices` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceInfo {
    /// `microphone` or `speaker`.
    pub kind: &'static str,
    /// What people call it.
    pub name: String,
    /// What never changes; both name and id are taken by `--mic` and `--speaker`.
    pub id: String,
    /// Whether it is used when none is chosen.
    pub default: bool,
    /// The sound system it was found in.
    pub system: String,
}

/// Every microphone and speaker of the first sound system that has any.
#[must_use]
pub fn list() -> Vec<DeviceInfo> {
    hosts().map(|host| list_host(&host)).find(|devices| !devices.is_empty()).unwrap_or_default()
}

/// The microphone or speaker of that name or id, or the default one.
///
/// # Errors
/// When there is none, or none of that name.
pub fn find(end: End, name: Option<&str>) -> Result<cpal::Device, SoundError> {
    let Some(name) = name else {
        return hosts().find_map(|host| default_of(&host, end)).ok_or(SoundError::None(end));
    };
    let found: Vec<cpal::Device> = hosts().flat_map(|host| devices_of(&host, end)).collect();
    if found.is_empty() {
        return Err(SoundError::None(end));
    }
    // Names may be shared by several devices, ids never.
    let by_id = found.iter().position(|device| id_of(device) == name);
    by_id
        .or_else(|| found.iter().position(|device| name_of(device) == name))
        .and_then(|at| found.into_iter().nth(at))
        .ok_or_else(|| SoundError::Unknown { end, name: name.to_owned() })
}

fn hosts() -> impl Iterator<Item = cpal::Host> {
    [HostId::PulseAudio, HostId::Alsa].into_iter().filter_map(|id| {
        if id == HostId::Alsa {
            keep_alsa_quiet();
        }
        cpal::host_from_id(id).ok()
    })
}

/// ALSA's library writes its troubles to standard error; here every one of them becomes one of our sentences.
fn keep_alsa_quiet() {
    // Per thread, and anew each time, so that what it collects stays small.
    let _ = alsa::Output::local_error_handler();
}

fn default_of(host: &cpal::Host, end: End) -> Option<cpal::Device> {
    match end {
        End::Microphone => host.default_input_device(),
        End::Speaker => host.default_output_device(),
    }
}

fn devices_of(host: &cpal::Host, end: End) -> Vec<cpal::Device> {
    match end {
        End::Microphone => host.input_devices().map(Iterator::collect).unwrap_or_default(),
        End::Speaker => host.output_devices().map(Iterator::collect).unwrap_or_default(),
    }
}

fn list_host(host: &cpal::Host) -> Vec<DeviceInfo> {
    let mut found = Vec::new();
    for end in [End::Microphone, End::Speaker] {
        let default_id = default_of(host, end).as_ref().map(id_of);
        for device in devices_of(host, end) {
            let id = id_of(&device);
            if host.id() == HostId::Alsa && ALSA_PLUGINS.contains(&id.as_str()) {
                continue;
            }
            found.push(DeviceInfo {
                kind: match end {
                    End::Microphone => "microphone",
                    End::Speaker => "speaker",
                },
                name: name_of(&device),
                default: default_id.as_deref() == Some(id.as_str()),
                id,
                system: host.id().to_string(),
            });
        }
    }
    found
}

fn name_of(device: &cpal::Device) -> String {
    device.description().map(|description| description.name().to_owned()).unwrap_or_default()
}

fn id_of(device: &cpal::Device) -> String {
    device.id().map(|id| id.id().to_owned()).unwrap_or_default()
}
