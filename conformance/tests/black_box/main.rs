//! The program judged from outside. One module per judge.

mod alerts;
mod audit_log;
mod bad_input;
mod cluster;
mod cluster_install;
mod demo;
mod gcloud_artifacts;
mod gcloud_binauthz;
mod gcloud_kms;
mod gcloud_logging;
mod gcloud_monitoring;
mod googleapis;
mod guide;
mod kill;
mod log_metrics;
mod mail;
mod own_commands;
mod prometheus;
mod python;
mod readme;
mod secrets;
mod signatures;
mod story;
mod traces;
mod tutorial;
mod webhook;
