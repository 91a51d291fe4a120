#!/bin/sh
# Add a device to the running broker, or remove it: device.sh add|remove NAME [HOME].
#   docker compose -f docker/compose.yaml exec mosquitto sh /h2twin/device.sh add gw-7
# "add" prints the password once; nothing but its hash is kept. Added again, the device has a new password.
# A removed device is refused when it connects the next time; restart the broker to end a connection that stands.
set -eu
usage="usage: device.sh add|remove NAME [HOME]; a name is 1 to 64 letters, digits, . _ or -"
action=${1:?$usage}
name=${2:?$usage}
data=${3:-/mosquitto}/data
case $name in
  h2twin|import|chirpstack|tts|wmbusmeters|sensorthings)
    # The network servers get theirs with MQTT_GATEWAYS in docker/.env; "import" stands for rows of files.
    echo "$name is no name for a device" >&2; exit 3 ;;
  *[!A-Za-z0-9._-]*|'') echo "$usage" >&2; exit 3 ;;
esac
if [ "${#name}" -gt 64 ]; then echo "$usage" >&2; exit 3; fi
umask 077
touch "$data/devices"
without() { grep -v "^$name:" "$1" || true; }
case $action in
  add)
    password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
    printf '%s:%s\n' "$name" "$password" > "$data/device.new"
    mosquitto_passwd -U "$data/device.new" ;;
  remove) : > "$data/device.new" ;;
  *) echo "$usage" >&2; exit 3 ;;
esac
for file in devices passwords; do
  { without "$data/$file"; cat "$data/device.new"; } > "$data/$file.new"
  if [ "$(id -u)" = 0 ]; then chown mosquitto: "$data/$file.new"; fi
  mv "$data/$file.new" "$data/$file"
done
rm "$data/device.new"
kill -HUP "$(cat "$data/pid")"
if [ "$action" = add ]; then echo "user $name"; echo "password $password"; fi
