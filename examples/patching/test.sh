# What must hold before anybody gets the image. Runs in the fresh image itself.
set -eu
said=$(greet)
echo "$said"
case $said in
    "hello, patched 20"*) ;;
    *) echo "it does not greet as it should"; exit 1 ;;
esac
