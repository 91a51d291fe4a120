"""What comes in: readings over MQTT and from files, weather forecasts."""
