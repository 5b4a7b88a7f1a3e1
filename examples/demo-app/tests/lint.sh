# Before anything is built: are the scripts scripts, and is the data whole?
set -e
for script in src/*.sh src/*.cgi tests/*.sh; do
    sh -n "$script"
done
awk -F, 'NF != 6 { print FILENAME ":" NR ": " NF " columns instead of 6"; bad = 1 } END { exit bad }' src/planets.csv
echo "$(ls src tests | grep -c '\.') files looked at, nothing wrong"
