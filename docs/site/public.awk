# What doxygen reads of a header, line by line: what is not public is blank. Of detail only those classes stay from which
# public ones have members. Options and numbers whose members say it all get the sentence that doxygen asks for.
BEGIN {
  bases = "^(class|struct) (\\[\\[nodiscard\\]\\] )?" \
    "(basic_worker_pool|channel_end|limiter_with|settable_limiter|shared_mutex_guard|stream_half)( |$)"
}
{ line[NR] = $0 }
END {
  for (i = 1; i <= NR; ++i) {
    if (line[i] ~ /^namespace detail \{$/) detail = 1
    is_class = line[i] ~ /^(class|struct|enum) /
    if (detail && is_class && line[i] ~ bases) inside = 1
    if (line[i] ~ /^(class|struct) (std|fmt)::/) other = 1
    if (line[i] ~ /^namespace detail \{$/ || line[i] ~ /^}  \/\/ namespace detail/) keep[i] = 1
    else keep[i] = (!detail || inside) && !other
    # Comments and the template's head go with the class.
    if (is_class || line[i] ~ /^(class|struct) (std|fmt)::/)
      for (j = i - 1; j > 0 && line[j] ~ /^(template|  requires|\/\/\/)/; --j) keep[j] = keep[i]
    if (line[i] ~ /^};/ || (other && line[i] ~ /};$/)) inside = other = 0
    if (line[i] ~ /^}  \/\/ namespace detail/) detail = 0
  }
  for (i = 1; i <= NR; ++i) {
    said = line[i - 1] ~ /^\/\/\// ? "" : line[i] ~ /^struct [a-z_]+_options \{/ ? "/** What can be chosen, each with its default. */ " : \
      line[i] ~ /^struct [a-z_]+_(stats|counters) \{/ ? "/** What has been counted so far. */ " : ""
    # Doxygen does not know what to make of these.
    sub(/^  friend [a-z: ]*shared_mutex.*;$/, "", line[i])
    sub(/^class \[\[nodiscard[^\]]*\]\]/, "class", line[i])
    sub(/explicit\(false\) /, "", line[i])
    print keep[i] ? said line[i] : ""
  }
}
