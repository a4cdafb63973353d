"""The paper, live: maps, class models, cuts and walks that grow step by step."""
