defmodule Sidewinder.Client do
  @moduledoc """
  What a call needs to know of its client, and where it finds it.

  A client is a few processes under one supervisor and one table. Calls read the table and talk to the connection
  themselves: no process of ours stands between a caller and its call, so none can be a bottleneck or a place where calls
  wait behind each other.

      Supervisor ─┬─ the daemon, if it is ours (mode :coupled)
                  ├─ the channel: connections
                  ├─ a supervisor of casts
                  ├─ the bell: who wants to hear events
                  └─ the lease: that this BEAM lives

  The lease is started last, so it is stopped first, and detaches while there still is a connection.
  """

  use Supervisor

  require Logger

  alias Sidewinder.{Lease, Options, Telemetry, Value}
  alias Sidewinder.Client.Mode

  @enforce_keys [:name, :options, :sink, :count, :transport, :channel, :mode, :encoder]
  defstruct @enforce_keys ++ [further: %{}, leased: true]

  @type t :: %__MODULE__{
          name: atom,
          options: map,
          sink: Telemetry.sink(),
          count: :counters.counters_ref(),
          transport: module,
          channel: GenServer.server(),
          mode: Mode.t(),
          encoder: {module, String.t()},
          further: %{String.t() => module},
          leased: boolean
        }

  @doc "Starts a client. Raises an `ArgumentError` that names every option that is wrong."
  @spec start_link(keyword) :: Supervisor.on_start()
  def start_link(given) do
    with {:ok, options} <- Options.client(given), {:ok, mode} <- Mode.choose(options) do
      Supervisor.start_link(__MODULE__, {options, mode}, name: options.name)
    else
      {:error, problems} -> raise ArgumentError, Options.sentence("this client cannot be started", List.wrap(problems))
    end
  end

  @impl true
  def init({options, mode}) do
    client = build(options, mode)
    _table = :ets.new(options.name, [:named_table, :public, :set, read_concurrency: true])
    true = :ets.insert(options.name, [{:client, client}, {:run, run()}])
    Logger.info("sidewinder: client #{inspect(options.name)}, mode #{mode.name}: #{mode.why}")
    Supervisor.init(children(client), strategy: :rest_for_one, max_restarts: 10, max_seconds: 10)
  end

  defp build(options, mode) do
    {:ok, encoder} = Value.named(options.content_type)

    %__MODULE__{
      name: options.name,
      options: options,
      sink: Telemetry.sink(options.name, options.handler),
      count: Lease.Bell.count(),
      transport: options.transport,
      channel: part(options.name, :Channel),
      mode: mode,
      encoder: encoder,
      leased: options.lease and not Mode.several?(mode),
      further: Map.new(options.values, &{&1.content_type(), &1})
    }
  end

  # Never used twice: it is by this that a daemon tells two runs of one client apart.
  defp run, do: Base.encode16(:crypto.strong_rand_bytes(16), case: :lower)

  defp children(client) do
    daemon = if client.mode.daemon, do: [{Sidewinder.Daemon, client}], else: []
    lease = if client.options.lease, do: [{Lease, client}], else: []

    daemon ++
      [
        client.transport.child_spec(channel_options(client)),
        {Task.Supervisor, name: part(client.name, :Casts), max_children: client.options.max_casts},
        {Lease.Bell, client}
      ] ++ lease
  end

  defp channel_options(client) do
    [name: client.channel, endpoints: client.mode.endpoints, size: client.options.connections]
    |> Keyword.merge(client.options.channel)
  end

  @doc "The name of a process of a client."
  @spec part(atom, atom) :: atom
  def part(name, part), do: Module.concat(name, part)

  @doc "The client of this name. Raises when none is started."
  @spec fetch!(atom | t) :: t
  def fetch!(%__MODULE__{} = client), do: client

  def fetch!(name) when is_atom(name) do
    case lookup(name, :client) do
      {:ok, client} ->
        client

      :error ->
        raise ArgumentError,
              "no client #{inspect(name)} is started: add {Sidewinder, name: #{inspect(name)}} to a supervisor"
    end
  end

  def fetch!(other), do: raise(ArgumentError, "a client is named by an atom, and this is #{inspect(other, limit: 3)}")

  @doc "What is written in the table of a client under a key."
  @spec lookup(atom, atom) :: {:ok, term} | :error
  def lookup(name, key) do
    case :ets.lookup(name, key) do
      [{^key, value}] -> {:ok, value}
      [] -> :error
    end
  rescue
    ArgumentError -> :error
  end

  @doc "Writes into the table of a client."
  @spec note(t, atom, term) :: :ok
  def note(client, key, value) do
    true = :ets.insert(client.name, {key, value})
    :ok
  end

  @doc "Strikes out of the table of a client."
  @spec forget(t, atom) :: :ok
  def forget(client, key) do
    true = :ets.delete(client.name, key)
    :ok
  end
end
