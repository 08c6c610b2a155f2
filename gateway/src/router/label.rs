//! A text that is nearly always short, kept where it is compared.

/// What fits beside the rest of an edge in half a cache line. Few segments of paths are longer.
const SHORT: usize = 22;

/// A segment of a path, or a host.
#[derive(Debug)]
pub(super) enum Label {
    /// The first so many bytes.
    Short(u8, [u8; SHORT]),
    /// Anything longer.
    Long(Box<str>),
}

impl Label {
    pub(super) fn new(text: &str) -> Self {
        let mut bytes = [0; SHORT];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(text.as_bytes());
                Self::Short(length, bytes)
            }
            _ => Self::Long(text.into()),
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Self::Long(text) => text.as_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_its_text_however_long() {
        for length in 0..=2 * SHORT {
            let text = "é".repeat(length / 2) + &"a".repeat(length % 2);
            assert_eq!(Label::new(&text).as_bytes(), text.as_bytes());
        }
    }

    #[test]
    fn a_label_takes_no_more_room_than_a_string() {
        assert_eq!(size_of::<Label>(), size_of::<String>());
    }
}
