#!/usr/bin/env bash
# One container image per model: builds, labels, tags and pushes them. `./build_images.sh --help` says how.
# Needs bash 4.4, python3 and one of docker (with BuildKit), podman, buildah.
set -euo pipefail
shopt -s inherit_errexit

usage() {
  cat <<'HELP'
usage: ./build_images.sh [OPTION…] [TAG…] [-- BUILD OPTION…]

Builds one image per TAG, a recipe in images/ or another name of the same model (such as openai/clip-vit-base-patch16);
without TAG all of them. Each gets three names:
[REGISTRY/]REPO:TAG, …:TAG-VERSION and …:TAG-latest. Logs and manifests are in build/TAG/.
What is built already is skipped, so after a failure the same command goes on where it stopped.

  --engine NAME      docker, podman or buildah (default: the first of them that works)
  --registry HOST    where the images belong, such as registry.example.org/team
  --repo NAME        the images' name (default: multi2vec-openvino)
  --push             push all three names
  --platform LIST    such as linux/amd64,linux/arm64; several with docker need buildx and --push
  --version VERSION  (default: git's last tag, else the package's version)
  --jobs N           builds side by side (default: 1)
  --source DIR       a checkpoint on this machine instead of a download; for one TAG
  --video            with a decoder of videos, as EXTRAS=video does; the names then have TAG-video in TAG's place. Parts
                     of such an image are under the GPL: requirements/notices/av.md says what that means for passing it on
  --keep-going       go on after a failure (default: what runs is finished, nothing else is started)
  --force            build even what is built already
  --list             the recipes
  --help             this text

What follows -- goes to the engine's build command: -- --network host.

From the environment: BASE_IMAGE, TORCH_INDEX (an index of torch wheels), DEVICES (cpu,gpu,npu), EXTRAS (tracing: what
TRACING=true needs; video; or both, "tracing video"), WEIGHTS (how they are stored: fp32, fp16, int8 or int4, instead of
what the recipe says), HF_ENDPOINT, HF_TOKEN (given as a build secret, never stored). A model without a recipe:
CLIP_MODEL_NAME, TEXT_MODEL_NAME, CLIP_MODEL_TYPE, OPEN_CLIP_MODEL_NAME, OPEN_CLIP_PRETRAINED, SIGLIP_MODEL_NAME,
MODEL_NAME (texts only), TRUST_REMOTE_CODE; TAG is then a name that no recipe has. With --source they say which kind of
model lies there.

Exit status: 0 all is built, 1 something is not, 2 wrong usage.
HELP
}

VARIABLES=(BASE_IMAGE TORCH_INDEX DEVICES EXTRAS WEIGHTS HF_ENDPOINT)
CUSTOM=(CLIP_MODEL_NAME TEXT_MODEL_NAME CLIP_MODEL_TYPE OPEN_CLIP_MODEL_NAME OPEN_CLIP_PRETRAINED SIGLIP_MODEL_NAME
  MODEL_NAME TRUST_REMOTE_CODE)
# What the Dockerfile copies from.
CONTEXT=(Dockerfile .dockerignore LICENSE inference requirements images)

ENGINE='' REGISTRY='' REPO=multi2vec-openvino PUSH='' PLATFORM='' VERSION='' JOBS=1 SOURCE='' KEEP_GOING='' FORCE='' VIDEO=''
# What the names of images have after their TAG.
SUFFIX=''
EXTRAS=${EXTRAS:-} TAGS=() EXTRA=() ROWS=() WORK='' FAILED=''
declare -A PIDS=() STARTED=()

wrong() {
  printf 'build_images.sh: %s (--help says more)\n' "$*" >&2
  exit 2
}

say() { printf '%s\n' "$*" >&2; }

recipes() { basename -s .toml images/*.toml; }

# --- what is asked for

parse() {
  local name
  while (($#)); do
    case $1 in
      --engine | --registry | --repo | --platform | --version | --jobs | --source)
        [ -n "${2:-}" ] || wrong "$1 needs a value"
        name=${1#--}
        printf -v "${name^^}" %s "$2"
        shift
        ;;
      --push) PUSH=yes ;;
      --video) VIDEO=yes ;;
      --keep-going) KEEP_GOING=yes ;;
      --force) FORCE=yes ;;
      --list) recipes && exit ;;
      --help | -h) usage && exit ;;
      --) EXTRA=("${@:2}") && return ;;
      -*) wrong "there is no option $1" ;;
      *) TAGS+=("$1") ;;
    esac
    shift
  done
}

custom() {
  local name
  for name in "${CUSTOM[@]}"; do
    if [ -n "${!name:-}" ]; then echo "$name" && return; fi
  done
}

# Other names of models become their tags.
resolve() {
  local index tag
  for index in "${!TAGS[@]}"; do
    tag=${TAGS[index]}
    # What it prints is the tag, or a sentence that says why there is none.
    [ -e "images/$tag.toml" ] || tag=$(python3 -I inference/multi2vec/names.py images "$tag" 2>&1) || wrong "$tag"
    TAGS[index]=$tag
  done
}

check() {
  local tag variable
  variable=$(custom)
  [[ $JOBS =~ ^[1-9][0-9]*$ ]] || wrong "--jobs takes a number, not $JOBS"
  [ -z "$variable" ] || ((${#TAGS[@]} == 1)) || wrong "$variable is set, which makes one custom image: name one TAG"
  ((${#TAGS[@]})) || mapfile -t TAGS < <(recipes)
  [ -z "$SOURCE" ] || ((${#TAGS[@]} == 1)) || wrong "--source is the checkpoint of one TAG, not of ${#TAGS[@]}"
  [ -n "$variable" ] || resolve
  for tag in "${TAGS[@]}"; do
    [[ $tag =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]*$ ]] || wrong "$tag cannot be an image's tag"
    [ -z "$variable" ] || [ ! -e "images/$tag.toml" ] || wrong "$variable is set, but there is a recipe for $tag"
  done
  [ -z "$(printf '%s\n' "${TAGS[@]}" | sort | uniq -d)" ] || wrong "a TAG is named twice"
  if [ -n "$PUSH" ] && [ -z "$REGISTRY" ] && [[ $REPO != */* ]]; then wrong "--push needs --registry"; fi
}

# Extras in one spelling, so that the same ones are the same image.
choose_extras() {
  local each words
  read -ra words <<<"${EXTRAS//,/ } ${VIDEO:+video}"
  for each in ${words+"${words[@]}"}; do
    case $each in
      tracing) ;;
      video) SUFFIX=-video ;;
      *) wrong "EXTRAS takes tracing and video, not $each" ;;
    esac
  done
  EXTRAS=$(printf '%s\n' ${words+"${words[@]}"} | sort -u | paste -sd ' ')
}

works() { command -v "$1" >/dev/null && "$1" info >/dev/null 2>&1; }

choose_engine() {
  local each
  case $ENGINE in
    docker | podman | buildah) works "$ENGINE" || wrong "$ENGINE does not work here: try $ENGINE info" ;;
    '')
      for each in docker podman buildah; do
        if works "$each"; then ENGINE=$each && break; fi
      done
      [ -n "$ENGINE" ] || wrong "neither docker nor podman nor buildah works here"
      ;;
    *) wrong "--engine takes docker, podman or buildah, not $ENGINE" ;;
  esac
  if multi && [ "$ENGINE" = docker ]; then
    [ -n "$PUSH" ] || wrong "docker cannot keep an image of several platforms: --push it"
    docker buildx version >/dev/null 2>&1 || wrong "several platforms need docker buildx"
  fi
}

choose_version() {
  local described
  described=$(git describe --tags --dirty 2>/dev/null || sed -n 's/^__version__ = "\(.*\)"/\1/p' inference/multi2vec/__init__.py)
  VERSION=${VERSION:-${described#v}}
  [[ $VERSION =~ ^[A-Za-z0-9_.-]+$ ]] || wrong "the version '$VERSION' cannot be part of an image's tag"
}

# --- what differs between engines

multi() { [[ $PLATFORM == *,* ]]; }

image() { echo "${REGISTRY:+${REGISTRY%/}/}$REPO:$1$SUFFIX-$VERSION"; } # TAG

folder() { echo "build/$1$SUFFIX"; } # TAG

# In the order of pushing: what moves from version to version comes last.
names() { # TAG
  local versioned
  versioned=$(image "$1")
  printf '%s\n' "$versioned" "${versioned%"-$VERSION"}" "${versioned%"$VERSION"}latest"
}

build() { # CONTEXT ARGUMENT…
  local how=(build --progress plain)
  case $ENGINE in
    docker) if multi; then how=(buildx "${how[@]}"); fi ;;
    # Without the format the health check would be lost, without layers the cache.
    *) how=(build --format docker --layers) ;;
  esac
  DOCKER_BUILDKIT=1 "$ENGINE" "${how[@]}" "${@:2}" "$1" </dev/null
}

exists() {
  case $ENGINE in
    docker) if multi; then docker buildx imagetools inspect "$1"; else docker image inspect "$1"; fi ;;
    podman) podman image exists "$1" ;;
    buildah) buildah inspect --type image "$1" || buildah manifest inspect "$1" ;;
  esac >/dev/null 2>&1
}

push() {
  if ! multi; then
    "$ENGINE" push "$1"
  elif [ "$ENGINE" != docker ]; then
    "$ENGINE" manifest push --all "$1" "docker://$1"
  fi
}

size() { # uncompressed
  case $ENGINE in
    buildah) buildah images --format '{{.Size}}' "$1" ;;
    *) "$ENGINE" image inspect --format '{{.Size}}' "$1" ;;
  esac 2>/dev/null | awk 'NR == 1 { size = NF > 1 ? $0 : sprintf("%.0f MB", $1 / 1e6) } END { print size ? size : "-" }' || true
}

# --- one image

# Of all that goes into an image: as long as it stays the same, what is built stays good.
fingerprint() { # TAG
  local name
  {
    names "$1"
    printf '%s\n' "$ENGINE" "$PLATFORM" "$PUSH" ${EXTRA+"${EXTRA[@]}"}
    for name in "${VARIABLES[@]}" "${CUSTOM[@]}"; do echo "$name=${!name:-}"; done
  } | python3 images/builds.py fingerprint Dockerfile .dockerignore LICENSE inference requirements \
    "images/$1.toml" "images/$1" ${SOURCE:+"$SOURCE"}
}

parity() { python3 images/builds.py parity "$(folder "$1")/manifest.json" 2>/dev/null || echo -; }

# The build context: this folder, or with --source a copy of what the Dockerfile needs with the checkpoint in its place.
context() { # TAG
  local path
  if [ -z "$SOURCE" ]; then echo . && return; fi
  mkdir "$WORK/context"
  for path in "${CONTEXT[@]}"; do cp -R "$path" "$WORK/context/"; done
  path=$WORK/context/images/$1/checkpoint
  rm -rf "$path"
  mkdir -p "${path%/*}"
  # The hub's cache is made of links to files elsewhere, and a large checkpoint should not be there twice.
  cp -RLl "$SOURCE" "$path" 2>/dev/null || { rm -rf "$path" && cp -RL "$SOURCE" "$path"; }
  echo "$WORK/context"
}

make_image() { # TAG
  local folder context described mark name arguments=() final=()
  folder=$(folder "$1")
  context=$(context "$1")
  mark=$(fingerprint "$1")
  rm -f "$folder/manifest.json" "$folder/done"
  arguments=(--build-arg "TAG=$1" --build-arg "VERSION=$VERSION")
  for name in "${VARIABLES[@]}" "${CUSTOM[@]}"; do
    if [ -n "${!name:-}" ]; then arguments+=(--build-arg "$name=${!name}"); fi
  done
  if [ -n "${HF_TOKEN:-}" ]; then arguments+=(--secret "id=hf_token,src=$WORK/token"); fi
  arguments+=(${EXTRA+"${EXTRA[@]}"})
  if [ -n "$PLATFORM" ] && ! multi; then arguments+=(--platform "$PLATFORM"); fi

  # The labels say what conversion found out, so it comes first; the second build finds it in the cache.
  build "$context" "${arguments[@]}" --target manifest --output "type=local,dest=$folder"

  described=$(python3 images/builds.py labels "$folder/manifest.json" "$EXTRAS" && origin)
  while read -r name; do final+=(--label "$name"); done <<<"$described"
  finish "$1" "$context" "${arguments[@]}" "${final[@]}"
  echo "$mark" >"$folder/done"
}

origin() {
  local label=org.opencontainers.image
  echo "$label.version=$VERSION"
  git log -1 --format="$label.revision=%H%n$label.created=%cI" 2>/dev/null || true
  # A public address only: another one may hold a password, or mean nothing elsewhere.
  git remote get-url origin 2>/dev/null | sed -nE "s|^https://([^/@]+/.*)$|$label.source=https://\1|p" || true
}

finish() { # TAG CONTEXT ARGUMENT…
  local name named first
  first=$(image "$1")
  mapfile -t named < <(names "$1")
  if ! multi; then
    build "$2" "${@:3}" "${named[@]/#/--tag=}"
  elif [ "$ENGINE" = docker ]; then
    build "$2" "${@:3}" --platform "$PLATFORM" --push "${named[@]/#/--tag=}"
  else
    # It would be added to a list of that name, not replace it.
    "$ENGINE" manifest rm "$first" >/dev/null 2>&1 || true
    build "$2" "${@:3}" --platform "$PLATFORM" --manifest "$first"
    for name in "${named[@]:1}"; do "$ENGINE" tag "$first" "$name"; done
  fi
  if [ -n "$PUSH" ]; then
    for name in "${named[@]}"; do push "$name"; done
  fi
}

# --- all of them

row() {
  local IFS=$'\t'
  ROWS+=("$*")
}

start() { # TAG
  local folder
  folder=$(folder "$1")
  mkdir -p "$folder"
  say "$1$SUFFIX: building ($folder/log)"
  STARTED[$1]=$SECONDS
  # A process group of its own, so that all of it can be ended.
  set -m
  (make_image "$1") >"$folder/log" 2>&1 </dev/null &
  set +m
  PIDS[$1]=$!
}

# Waits until at least one build has ended.
reap() {
  local tag status
  wait -n || true
  for tag in "${!PIDS[@]}"; do
    if kill -0 "${PIDS[$tag]}" 2>/dev/null; then continue; fi
    status=0
    wait "${PIDS[$tag]}" || status=$?
    unset "PIDS[$tag]"
    ended "$tag" "$status" "$((SECONDS - STARTED[$tag]))"
  done
}

ended() { # TAG STATUS SECONDS
  local result size=- parity=-
  if [ "$2" = 0 ]; then
    result=${PUSH:+pushed}
    result=${result:-ok}
    size=$(size "$(image "$1")")
    parity=$(parity "$1")
  else
    FAILED=yes
    result=$(python3 images/builds.py reason "$(folder "$1")/log")
  fi
  say "$1$SUFFIX: $result"
  row "$1$SUFFIX" "$size" "$(printf '%dm%02ds' $(($3 / 60)) $(($3 % 60)))" "$parity" "$result"
}

built() { # TAG
  [ -z "$FORCE" ] && [ "$(cat "$(folder "$1")/done" 2>/dev/null)" = "$(fingerprint "$1")" ] && exists "$(image "$1")"
}

run() {
  local tag
  for tag in "${TAGS[@]}"; do
    while ((${#PIDS[@]} >= JOBS)); do reap; done
    if [ -n "$FAILED" ] && [ -z "$KEEP_GOING" ]; then
      row "$tag$SUFFIX" - - - 'not started: another one failed'
    elif built "$tag"; then
      row "$tag$SUFFIX" "$(size "$(image "$tag")")" - "$(parity "$tag")" 'already built'
    else
      start "$tag"
    fi
  done
  while ((${#PIDS[@]})); do reap; done
}

summary() { printf '%s\n' $'TAG\tSIZE\tTIME\tPARITY\tRESULT' "${ROWS[@]}" | python3 images/builds.py table; }

interrupted() {
  local pid
  trap '' INT TERM
  say 'interrupted; the same command goes on from here'
  for pid in "${PIDS[@]}"; do kill -TERM -- "-$pid" 2>/dev/null || true; done
  wait
  exit "$1"
}

main() {
  local caller=$PWD
  cd "$(dirname "${BASH_SOURCE[0]}")"
  parse "$@"
  [ -z "$SOURCE" ] || SOURCE=$(cd "$caller" && cd "$SOURCE" 2>/dev/null && pwd) ||
    wrong "--source takes a folder that is there"
  check
  choose_extras
  choose_engine
  choose_version
  mkdir -p build
  trap '[ -z "$WORK" ] || rm -rf "$WORK"' EXIT
  trap 'interrupted 130' INT
  trap 'interrupted 143' TERM
  WORK=$(mktemp -d "$PWD/build/.work.XXXXXX")
  (umask 077 && printf %s "${HF_TOKEN:-}" >"$WORK/token")
  run
  summary
  [ -z "$FAILED" ]
}

main "$@"
