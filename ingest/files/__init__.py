"""Files that people hand in: sensors, customers and readings. Pure parsing; nothing here stores anything."""
