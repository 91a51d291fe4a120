"""Who may send what: forged names, senders beyond their rate, recordings played again. One file each."""
