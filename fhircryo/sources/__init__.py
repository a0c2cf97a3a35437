"""Where resources come from: a folder, a server by search, a server by bulk export."""
