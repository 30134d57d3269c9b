//! `CpuConfig`: what a guest's CPU shows, bit by bit.
//!
//! A bitmap is written `0b0011xx01`: a digit sets its bit, an `x` leaves it as the host has it, underscores are for the
//! eye; digits that are not written leave their bits. Numbers of leaves and MSRs are written as strings, `0x80000001`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Bits to set and to clear; all others stay. `W` is `u32` for CPUID and `u64` for MSRs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bitmap<W> {
    /// The bits that are decided.
    pub filter: W,
    /// What they become; 0 where `filter` is.
    pub value: W,
}

macro_rules! bitmap {
    ($word:ty) => {
        impl Bitmap<$word> {
            /// The word with the decided bits.
            pub const fn apply(self, word: $word) -> $word {
                (word & !self.filter) | self.value
            }

            fn parse(text: &str) -> Result<Self, String> {
                let digits = text
                    .strip_prefix("0b")
                    .ok_or_else(|| format!("the bitmap `{text}` does not begin with 0b"))?;
                let (mut filter, mut value, mut count): ($word, $word, u32) = (0, 0, 0);
                for c in digits.chars().filter(|c| *c != '_') {
                    count += 1;
                    if count > <$word>::BITS {
                        return Err(format!(
                            "the bitmap `{text}` has more than {} bits",
                            <$word>::BITS
                        ));
                    }
                    (filter, value) = (filter << 1, value << 1);
                    match c {
                        'x' => {}
                        '0' => filter |= 1,
                        '1' => (filter, value) = (filter | 1, value | 1),
                        _ => return Err(format!("the bitmap `{text}` has a `{c}`; 0, 1, x and _ may be")),
                    }
                }
                if count == 0 {
                    return Err(format!("the bitmap `{text}` has no bits"));
                }
                Ok(Bitmap { filter, value })
            }

            fn text(self) -> String {
                let bit = |i| match (self.filter >> i & 1, self.value >> i & 1) {
                    (0, _) => 'x',
                    (_, 0) => '0',
                    _ => '1',
                };
                "0b".chars().chain((0..<$word>::BITS).rev().map(bit)).collect()
            }
        }

        impl Serialize for Bitmap<$word> {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.text())
            }
        }

        impl<'de> Deserialize<'de> for Bitmap<$word> {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(d)?).map_err(D::Error::custom)
            }
        }
    };
}

bitmap!(u32);
bitmap!(u64);

/// A number that is written as a string: `0x1f`, `0b11` or `31`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Number(pub u32);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("{:#x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Number, D::Error> {
        let text = String::deserialize(d)?;
        let parsed = match (text.strip_prefix("0x"), text.strip_prefix("0b")) {
            (Some(hex), _) => u32::from_str_radix(hex, 16),
            (_, Some(bin)) => u32::from_str_radix(bin, 2),
            _ => text.parse(),
        };
        parsed
            .map(Number)
            .map_err(|e| D::Error::custom(format!("`{text}` is not a number of 32 bits: {e}")))
    }
}

/// One of the registers that CPUID answers in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Register {
    /// EAX.
    Eax,
    /// EBX.
    Ebx,
    /// ECX.
    Ecx,
    /// EDX.
    Edx,
}

/// What one register becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterModifier {
    /// Which register.
    pub register: Register,
    /// Its bits.
    pub bitmap: Bitmap<u32>,
}

/// What one leaf of CPUID becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuidModifier {
    /// The leaf.
    pub leaf: Number,
    /// The leaf's part.
    pub subleaf: Number,
    /// KVM's flags of the entry.
    pub flags: u32,
    /// What becomes of its registers.
    pub modifiers: Vec<RegisterModifier>,
}

/// What one MSR begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MsrModifier {
    /// The MSR's number.
    pub addr: Number,
    /// Its bits.
    pub bitmap: Bitmap<u64>,
}

/// A capability of KVM that has to be there (`121`) or is not to be looked for (`!121`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// It has to be there.
    Needed(u32),
    /// It is not looked for.
    Ignored(u32),
}

impl Serialize for Capability {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Capability::Needed(n) => s.collect_str(n),
            Capability::Ignored(n) => s.collect_str(&format_args!("!{n}")),
        }
    }
}

impl<'de> Deserialize<'de> for Capability {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Capability, D::Error> {
        let text = String::deserialize(d)?;
        let bad = |e| D::Error::custom(format!("`{text}` is not the number of a capability: {e}"));
        match text.strip_prefix('!') {
            Some(n) => n.parse().map(Capability::Ignored).map_err(bad),
            None => text.parse().map(Capability::Needed).map_err(bad),
        }
    }
}

/// `CpuConfig`: a template of one's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuConfig {
    /// Capabilities to look for.
    #[serde(default)]
    pub kvm_capabilities: Vec<Capability>,
    /// Changes of CPUID.
    #[serde(default)]
    pub cpuid_modifiers: Vec<CpuidModifier>,
    /// Changes of MSRs.
    #[serde(default)]
    pub msr_modifiers: Vec<MsrModifier>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bitmap_decides_only_what_is_written() {
        let b: Bitmap<u32> = serde_json::from_str("\"0b1_0x\"").unwrap();
        assert_eq!((b.filter, b.value), (0b110, 0b100));
        assert_eq!(b.apply(0xffff_ffff), 0xffff_fffd);
        assert_eq!(b.apply(0), 0b100);
        let again: Bitmap<u32> = serde_json::from_str(&serde_json::to_string(&b).unwrap()).unwrap();
        assert_eq!(b, again);
        for bad in [
            "\"\"",
            "\"0b\"",
            "\"0b2\"",
            "\"101\"",
            "\"0b111111111111111111111111111111111\"",
        ] {
            assert!(serde_json::from_str::<Bitmap<u32>>(bad).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<Bitmap<u64>>("\"0b111111111111111111111111111111111\"").is_ok());
    }

    #[test]
    fn a_template_as_the_documentation_writes_it() {
        let text = r#"{"kvm_capabilities": ["!56", "121"], "cpuid_modifiers": [{"leaf": "0x1", "subleaf": "0x0",
            "flags": 0, "modifiers": [{"register": "eax", "bitmap": "0bxxxx000000000011xx00011011110010"}]}],
            "msr_modifiers": [{"addr": "0x10a", "bitmap": "0b1001"}]}"#;
        let c: CpuConfig = serde_json::from_str(text).unwrap();
        assert_eq!(c.kvm_capabilities, [Capability::Ignored(56), Capability::Needed(121)]);
        assert_eq!(c.cpuid_modifiers[0].leaf, Number(1));
        assert_eq!(c.msr_modifiers[0].bitmap.apply(0xf0), 0xf9);
        let again: CpuConfig = serde_json::from_str(&serde_json::to_string(&c).unwrap()).unwrap();
        assert_eq!(c, again);
        assert!(serde_json::from_str::<CpuConfig>(r#"{"cpuid": []}"#).is_err());
        assert!(serde_json::from_str::<CpuConfig>(r#"{"kvm_capabilities": ["x"]}"#).is_err());
    }
}
