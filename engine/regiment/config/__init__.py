"""Reading what users write: pjsip.conf."""
