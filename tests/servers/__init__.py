"""Real servers for the tests: started on a free loopback port in a private folder, ended by their pid."""
