/**
 * RECOVERY.md, which `init` puts into the repository: how to get a database back with stock tools, on a machine where
 * jetbackup never was. Its `sh` blocks are run literally by a test; keep them free of anything but stock programs.
 */
export function recoveryText(input: {
  /** Where the repository is, for the person who reads this somewhere else. */
  readonly location: string;
  /** Configured databases, for the example values. */
  readonly databases: readonly string[];
  /** Signing public key as PEM, so that the check needs nothing but this file. */
  readonly publicKeyPem: string;
}): string {
  const database = input.databases[0] ?? 'mydatabase';
  const fetch = input.location.startsWith('s3:')
    ? `This repository lives at \`${input.location}\`. Bring the wanted backup to this machine, for example with
\`aws s3 ls\` to find it and \`aws s3 cp --recursive\` to copy its folder (add \`--endpoint-url\` for a store that is
not Amazon's), so that it lies below \`$REPOSITORY\` as it does in the bucket.`
    : `This repository lives at \`${input.location}\`.`;
  return `# Getting a database back without jetbackup

Everything in this repository opens with stock tools: \`age\` decrypts, \`gunzip\` or \`zstd\` decompresses, \`pg_restore\`
and \`psql\` load. On Debian and Ubuntu: \`apt-get install age zstd jq openssl postgresql-client\`; the PostgreSQL client
must be of the source server's major version or newer (\`server.version\` in the manifest).

You also need the **identity file** (its lines start with \`AGE-SECRET-KEY-\`), which is not in here and never was.
Without it nobody can read these backups, not even those who made them.

## 1. Say what you want

${fetch}

Edit these lines. The connection to the target server comes from libpq's variables (\`PGHOST\`, \`PGUSER\`, ...).

\`\`\`sh
REPOSITORY=\${REPOSITORY:-.}
DATABASE=\${DATABASE:-${database}}
IDENTITY=\${IDENTITY:-jetbackup-identity.txt}
TARGET=\${TARGET:-\${DATABASE}_recovered}
\`\`\`

Backups are folders named by their instant in UTC; only a folder with a \`manifest.json\` is a backup. The newest:

\`\`\`sh
BACKUP=\${BACKUP:-$(ls -d "$REPOSITORY/$DATABASE"/*/manifest.json | sort | tail -n 1 | xargs -d '\\n' dirname)}
echo "using $BACKUP"
jq '{snapshotInstant, server, source: .source | {datname, encoding, collate, ctype, roles, extensions}}' "$BACKUP/manifest.json"
\`\`\`

## 2. Check that it is whole and that nobody changed it

The sizes and hashes of every object, as the manifest gives them:

\`\`\`sh
for kind in $(jq -r '.artifacts[].kind' "$BACKUP/manifest.json"); do
  want=$(jq -r --arg kind "$kind" '.artifacts[] | select(.kind == $kind) | .sealed.sha256' "$BACKUP/manifest.json")
  have=$(jq -r --arg kind "$kind" '.artifacts[] | select(.kind == $kind) | .objects[].name' "$BACKUP/manifest.json" |
    while read -r name; do cat "$BACKUP/$name"; done | sha256sum | cut -d ' ' -f 1)
  test "$want" = "$have" && echo "$kind: whole" || { echo "$kind: DAMAGED"; false; }
done
\`\`\`

The manifest's signature (OpenSSL 3). Compare this key with the one kept in escrow: whoever can write here could have
changed this very page.

\`\`\`sh
work=$(mktemp -d)
cat > "$work/key.pem" <<'PEM'
${input.publicKeyPem.trim()}
PEM
jq -cjS 'del(.signature)' "$BACKUP/manifest.json" > "$work/signed"
jq -r '.signature.value' "$BACKUP/manifest.json" | base64 -d > "$work/signature"
openssl pkeyutl -verify -pubin -inkey "$work/key.pem" -rawin -in "$work/signed" -sigfile "$work/signature"
\`\`\`

## 3. Open an artifact

\`\`\`sh
opened() {
  jq -r --arg kind "$1" '.artifacts[] | select(.kind == $kind) | .objects[].name' "$BACKUP/manifest.json" |
    while read -r name; do cat "$BACKUP/$name"; done |
    age -d -i "$IDENTITY" |
    case $(jq -r --arg kind "$1" '.artifacts[] | select(.kind == $kind) | .codec' "$BACKUP/manifest.json") in
      gzip) gunzip ;;
      zstd) zstd -d ;;
    esac
}
\`\`\`

## 4. Roles and tablespaces

Only roles that the target does not have: the others keep their passwords and rights. Look at \`roles.sql\` before you run
it; tablespaces want their directories to be there.

\`\`\`sh
opened globals > "$work/globals.sql"
psql -X -At -d postgres -c "SELECT verb || quote_ident(rolname) || behind FROM pg_roles, (VALUES ('CREATE ROLE ', ';'), ('ALTER ROLE ', ' ')) AS line (verb, behind)" > "$work/existing"
awk 'NR == FNR { known[$0]; next } { for (start in known) if (index($0, start) == 1) next } 1' "$work/existing" "$work/globals.sql" > "$work/roles.sql"
psql -X -q -d postgres -f "$work/roles.sql"
\`\`\`

## 5. The database

A new one of the same encoding and locale, then the dump, stopping at the first error:

\`\`\`sh
of() { jq -r ".source.$1" "$BACKUP/manifest.json"; }
set -- --template=template0 --encoding="$(of encoding)" --lc-collate="$(of collate)" --lc-ctype="$(of ctype)"
case $(of localeProvider) in
  i) set -- "$@" --locale-provider=icu --icu-locale="$(of locale)" ;;
  b) set -- "$@" --locale-provider=builtin --builtin-locale="$(of locale)" ;;
  c) test "$(createdb --version | tr -dc '0-9.' | cut -d . -f 1)" -lt 15 || set -- "$@" --locale-provider=libc ;;
esac
createdb "$@" "$TARGET"
opened dump | pg_restore --exit-on-error --dbname="$TARGET"
psql -X -q -d "$TARGET" -c ANALYZE
\`\`\`

What belongs to the database itself is not in its dump. Set by hand what you need of it (\`ALTER DATABASE … OWNER TO\`,
\`SET\`, \`CONNECTION LIMIT\`, \`GRANT\`, \`COMMENT ON DATABASE\`):

\`\`\`sh
jq '.source | {owner, connectionLimit, settings, acl, comment}' "$BACKUP/manifest.json"
\`\`\`

## 6. The files

If the backup holds configured files (\`opened files\` is a tar of them, under their absolute paths):

\`\`\`sh
if jq -e '.artifacts[] | select(.kind == "files")' "$BACKUP/manifest.json" > /dev/null; then
  mkdir -p "$TARGET-files" && opened files | tar -x -C "$TARGET-files"
fi
\`\`\`
`;
}
