//! The owner of the ConfigurationState.

use futures::future::{BoxFuture, Shared};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

/// The owner of the ConfigurationState, once it has been looked up.
pub type OwnerLookup = Shared<BoxFuture<'static, Option<OwnerReference>>>;
