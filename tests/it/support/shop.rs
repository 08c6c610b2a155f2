//! The system as it is deployed: services and a gateway on the shipped configuration, each a process of its own.

use super::{Api, Gateway, Services};

/// Everything behind one gateway.
pub(crate) struct Shop {
    /// The gateway's public listener.
    pub(crate) api: Api,
    /// What is behind the gateway.
    pub(crate) services: Services,
    _gateway: Gateway,
}

impl Shop {
    /// Starts a user service, some inventory services, and the gateway in front of them.
    pub(crate) async fn open(inventories: usize) -> anyhow::Result<Self> {
        let services = Services::start(inventories).await?;
        let inventory = services.inventory_urls();
        let variables = [("USER_SERVICE_URL", &*services.user.url), ("INVENTORY_SERVICE_URL", &*inventory)];
        let gateway = Gateway::shipped(&variables).await?;
        Ok(Self { api: gateway.api.clone(), services, _gateway: gateway })
    }
}
