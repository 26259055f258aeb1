"""How a payload reaches thousands of sockets: prepared once, offered to every peer, one slot a peer, newest wins."""
