//! Issues a token and verifies it: `cargo run -p common --example tokens`.

use chrono::Utc;
use common::auth::TokenSettings;
use common::config::{Env, Reader};
use common::ids::UserId;

fn main() -> anyhow::Result<()> {
    // In production it is kept, so that tokens outlive a restart: openssl rand -hex 32
    let secret: String = rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect();
    let env = Env::default().with("JWT_SECRET_KEY", secret).with("JWT_EXPIRATION_MINUTES", "5");
    let mut reader = Reader::new(&env);
    let settings = TokenSettings::read(&mut reader);
    let settings = reader.finish(settings)?;

    let issued = settings.issuer().issue(UserId::new(), "ann", Utc::now())?;
    println!("{}", issued.token);

    let claims = settings.verifier().verify(&issued.token)?;
    println!("{} is {} until {}", claims.sub, claims.username, claims.expires_at());

    let forged = format!("{}x", issued.token);
    match settings.verifier().verify(&forged) {
        Ok(_) => anyhow::bail!("a forged token was believed"),
        Err(error) => println!("forged: {error}"),
    }
    Ok(())
}

#[test]
fn runs_to_its_end() -> anyhow::Result<()> {
    main()
}
