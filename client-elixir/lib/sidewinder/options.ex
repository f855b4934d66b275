defmodule Sidewinder.Options do
  @moduledoc """
  Every option, described once: what is checked and what is documented is the same table.

  `Sidewinder.start_link/1` takes the options of a client, `Sidewinder.call/4` and its siblings those of a call. What is
  wrong is told at once, all of it, each with what is allowed and what was probably meant.

      iex> Sidewinder.Options.client(tiemout: 5, retries: -1)
      {:error, [
        "tiemout: there is no such option; did you mean :timeout?",
        "retries: -1 is not what belongs here: a whole number, 0 or more"
      ]}
  """

  alias Sidewinder.Options.{Address, Kind}

  @client [
    name: [kind: :atom, default: Sidewinder, doc: "The name of the client, which calls use."],
    mode: [
      kind: {:one_of, [:auto, :coupled, :supervised, :independent, :distributed]},
      default: :auto,
      doc: "Who starts the daemon, and what the end of this BEAM means to it. See the guide of the modes."
    ],
    address: [
      kind: :addresses,
      default: nil,
      doc:
        "Where the daemon is: `\"/path/to.sock\"`, `\"unix:path\"`, `\"host:port\"`, `\"tls:host:port\"`, " <>
          "`\"dns:host:port\"`, `\"srv:name\"`, or a list of them. By default the private socket of this user."
    ],
    daemon: [
      kind: :keyword,
      default: [],
      doc: "For `:coupled`: what is started. `tools:` (modules), `config:` (a file), `binary:`, `args:`, `cd:`, `env:`."
    ],
    connections: [kind: :count, default: 1, doc: "Connections to each address."],
    channel: [kind: :keyword, default: [], doc: "Further options of `Sidewinder.Channel`."],
    lease: [
      kind: :boolean,
      default: true,
      doc: "Whether to attach: to say that this BEAM lives, to be told what happens, to find keyed endings again."
    ],
    client_name: [
      kind: :text,
      default: nil,
      doc: "What this client calls itself. The scope of idempotency keys. By default the `name`."
    ],
    labels: [kind: :texts, default: %{}, doc: "Words about this client, for operators."],
    interval: [kind: :milliseconds, default: nil, doc: "How often to beat. By default as the daemon likes."],
    ttl: [kind: :milliseconds, default: nil, doc: "How long the lease outlives the last beat. As the daemon likes."],
    wait: [
      kind: :milliseconds,
      default: 5_000,
      doc: "How long a call waits for a daemon that is not there, and for the lease when there is none."
    ],
    timeout: [
      kind: :timeout,
      default: 60_000,
      doc: "Until a call is given up, unless it says otherwise. A deadline: it reaches the tool."
    ],
    retries: [kind: :number, default: 4, doc: "How often a refused call is tried again. Only what did not run is."],
    pool: [kind: :text, default: nil, doc: "The pool of calls that name none."],
    content_type: [kind: :content_type, default: :msgpack, doc: "How values travel. See `Sidewinder.Value`."],
    values: [kind: :modules, default: [], doc: "Further modules that are a `Sidewinder.Value`, to read answers with."],
    max_casts: [kind: :count, default: 1_000, doc: "Casts under way at a time; a further one is refused."],
    subscribers_max: [kind: :count, default: 1_000, doc: "Processes that may subscribe to events at a time."],
    waiting_max: [kind: :count, default: 10_000, doc: "Calls that may wait for a lease at a time."],
    handler: [
      kind: {:function, 3},
      default: nil,
      doc: "Called with each telemetry event, its measurements and its metadata; for who has no `:telemetry`."
    ],
    transport: [kind: :atom, default: Sidewinder.Channel, doc: false]
  ]

  @call [
    timeout: [kind: :timeout, doc: "Milliseconds until the call is given up, retries included; or `:infinity`."],
    pool: [kind: :text, doc: "Which pool."],
    affinity: [kind: :text, doc: "Runs where calls of this key ran. See `Sidewinder.session/2`."],
    affinity_mode: [
      kind: {:one_of, [:hint, :strict_queue, :strict_fail_fast]},
      doc: "When that worker has no room: run elsewhere, wait for it, or be refused."
    ],
    idempotency_key: [
      kind: :text,
      doc: "The name of this call. While it runs or its ending is kept, calls of this key get that ending."
    ],
    priority: [kind: {:one_of, [:low, :normal, :high]}, doc: "Who goes first among the waiting calls."],
    on_abandon: [
      kind: {:one_of, [:cancel, :finish]},
      doc: "What the end of the caller means for the call. By default what the mode of the daemon says."
    ],
    metadata: [kind: :texts, doc: "Names and texts that the tool reads as `ctx.metadata`."],
    traceparent: [kind: :text, doc: "The W3C trace context that the call belongs to."],
    content_type: [kind: :content_type, doc: "How values travel."],
    retries: [kind: :number, doc: "How often a refused call is tried again."]
  ]

  @doc "The options of a client as a map, with what was not said filled in; or every problem."
  @spec client(keyword) :: {:ok, map} | {:error, [String.t()]}
  def client(given) do
    with {:ok, checked} <- check(given, @client) do
      defaults = Map.new(@client, fn {key, spec} -> {key, spec[:default]} end)
      {:ok, Map.merge(defaults, checked)}
    end
  end

  @doc "The options of a call as a map of what was said. Raises an `ArgumentError` that names every problem."
  @spec call!(keyword) :: map
  def call!([]), do: %{}

  def call!(given) do
    with {:ok, checked} <- check(given, @call), :ok <- together(checked) do
      checked
    else
      {:error, problems} -> raise ArgumentError, sentence("this call cannot be made", problems)
    end
  end

  defp together(%{affinity_mode: _} = checked) when not is_map_key(checked, :affinity),
    do: {:error, ["affinity_mode: says what to do about an affinity, and there is none"]}

  defp together(_checked), do: :ok

  @doc "Problems as one text."
  @spec sentence(String.t(), [String.t()]) :: String.t()
  def sentence(what, problems), do: Enum.join([what <> ":" | Enum.map(problems, &("  " <> &1))], "\n")

  @doc "The addresses that these options name."
  @spec addresses(nil | String.t() | [String.t()]) :: {:ok, [tuple]} | {:error, String.t()}
  defdelegate addresses(given), to: Address, as: :all

  defp check(given, schema) when is_list(given) do
    {checked, problems} = Enum.reduce(given, {%{}, []}, &one(&1, &2, schema))
    if problems == [], do: {:ok, checked}, else: {:error, Enum.reverse(problems)}
  end

  defp check(given, _schema), do: {:error, ["options are a keyword list, and this is #{inspect(given, limit: 3)}"]}

  defp one({key, value}, {checked, problems}, schema) when is_atom(key) do
    with {:ok, spec} <- known(key, schema), :ok <- fresh(key, checked), :ok <- fits(key, value, spec) do
      {if(value == nil, do: checked, else: Map.put(checked, key, value)), problems}
    else
      {:error, problem} -> {checked, [problem | problems]}
    end
  end

  defp one(other, {checked, problems}, _schema),
    do: {checked, ["#{inspect(other, limit: 3)} is no option: write key: value" | problems]}

  defp known(key, schema) do
    case schema[key] do
      nil -> {:error, "#{key}: there is no such option" <> meant(key, Keyword.keys(schema))}
      spec -> {:ok, spec}
    end
  end

  defp meant(key, known) do
    near = Enum.max_by(known, &String.jaro_distance(Atom.to_string(&1), Atom.to_string(key)))
    alike = String.jaro_distance(Atom.to_string(near), Atom.to_string(key)) > 0.75
    if alike, do: "; did you mean #{inspect(near)}?", else: ""
  end

  defp fresh(key, checked), do: if(is_map_key(checked, key), do: {:error, "#{key}: said twice"}, else: :ok)

  # What is said to be the default is as if it was not said.
  defp fits(_key, nil, _spec), do: :ok

  defp fits(key, value, spec) do
    case Kind.check(spec[:kind], value) do
      :ok -> :ok
      {:error, wanted} -> {:error, "#{key}: #{inspect(value, limit: 5)} is not what belongs here: #{wanted}"}
    end
  end

  @doc "The documentation of the options of `:client` or `:call`, as Markdown."
  @spec docs(:client | :call) :: String.t()
  def docs(:client), do: table(@client)
  def docs(:call), do: table(@call)

  defp table(schema) do
    for {key, spec} <- schema, spec[:doc], into: "" do
      default = if spec[:default] in [nil, [], %{}], do: "", else: " Default: `#{inspect(spec[:default])}`."
      "  * `:#{key}` (#{Kind.wanted(spec[:kind])}) - #{spec[:doc]}#{default}\n"
    end
  end
end
