"""Methods of localisation: the paper's seeded cut, and "consensus", the box that many cuts agree on."""
