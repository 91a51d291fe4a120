"""Out to Home Assistant: sensors and figures appear there by MQTT discovery, with no work on its side."""
