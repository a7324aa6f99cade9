//! Who is calling. One kind of credential so far: a bearer token, either the administrator's (made at the first start) or
//! one made through the API.

mod authenticate;
mod caller;
mod token;

pub(crate) use authenticate::authenticate;
pub(crate) use caller::{Caller, Role};
pub(crate) use token::{AdminToken, Token};
