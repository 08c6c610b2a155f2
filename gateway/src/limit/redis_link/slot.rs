//! Which of a cluster's slots a key is in.

/// How many there are.
pub(super) const SLOTS: u16 = 16384;

/// The slot of `key`: CRC16 (XMODEM) of it, or of what stands in its first braces, so that keys can be kept together. By the
/// cluster specification of Redis, <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    crc16(in_braces(key).unwrap_or(key)) % SLOTS
}

fn in_braces(key: &[u8]) -> Option<&[u8]> {
    let from = key.iter().position(|byte| *byte == b'{')? + 1;
    let rest = key.get(from..)?;
    let length = rest.iter().position(|byte| *byte == b'}')?;
    rest.get(..length).filter(|inside| !inside.is_empty())
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0_u16, |crc, byte| {
        let [high, low] = crc.to_be_bytes();
        u16::from_be_bytes([low, 0]) ^ remainder(high ^ byte)
    })
}

/// What the polynomial 0x1021 leaves of one byte.
fn remainder(byte: u8) -> u16 {
    (0..8).fold(u16::from(byte) << 8, |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 })
}

#[cfg(test)]
mod tests {
    use testkit::RedisCluster;

    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    #[tokio::test]
    async fn every_key_is_in_the_slot_that_redis_puts_it_in() {
        let cluster = RedisCluster::start().await.expect("a cluster");
        let mut connection = cluster.nodes[0].connect().await.expect("a connection");
        for key in ["", "foo", "gateway:limit:api:00ff", "{user}:a", "x{user}y{z}", "{}a", "{{b}}", "a{b", "}c{", "ü"]
        {
            let slot: u16 =
                redis::cmd("CLUSTER").arg("KEYSLOT").arg(key).query_async(&mut connection).await.expect("a slot");
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
        assert_eq!(slot_of(b"{user}:a"), slot_of(b"{user}:b"));
    }
}
