"""Real servers for the tests: found on this machine, started on a free loopback port in a private folder, ended by pid."""
