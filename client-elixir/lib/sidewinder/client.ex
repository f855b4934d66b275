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
                  └─ the lease: that this BEAM lives; of several daemons one lease each

  The lease is started last, so it is stopped first, and detaches while there still is a connection.
  """

  use Supervisor

  require Logger

  alias Sidewinder.{Channel, Lease, Options, Telemetry, Value}
  alias Sidewinder.Client.Mode
  alias Sidewinder.Connection.Socket

  @enforce_keys [:name, :options, :sink, :count, :transport, :channel, :mode, :encoder]
  defstruct @enforce_keys ++ [further: %{}, leases: :one, at: nil]

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
          leases: :none | :one | :each,
          at: nil | tuple
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
    # A stand-in has no daemon to say anything of.
    if options.transport == Channel,
      do: Logger.info("sidewinder: client #{inspect(options.name)}, mode #{mode.name}: #{mode.why}")

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
      leases: leases(options, mode),
      further: Map.new(options.values, &{&1.content_type(), &1})
    }
  end

  # A stand-in is one daemon, whatever the addresses say.
  defp leases(%{lease: false}, _mode), do: :none
  defp leases(options, mode), do: if(Mode.several?(mode) and options.transport == Channel, do: :each, else: :one)

  # Never used twice: it is by this that a daemon tells two runs of one client apart.
  defp run, do: Base.encode16(:crypto.strong_rand_bytes(16), case: :lower)

  defp children(client) do
    daemon = if client.mode.daemon, do: [{Sidewinder.Daemon, client}], else: []
    lease = %{none: [], one: [{Lease, client}], each: [{Lease.Each, client}]}[client.leases]

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

  @doc "A client as its part sees it that belongs to one of several daemons."
  @spec at(t, nil | tuple) :: t
  def at(client, nil), do: client
  def at(client, address), do: %{client | at: address, sink: Telemetry.at(client.sink, Socket.show(address))}

  @doc "The key of what is written for the daemon that a part belongs to."
  @spec key(t, atom) :: atom | {atom, tuple}
  def key(%{at: nil}, key), do: key
  def key(%{at: address}, key), do: {key, address}

  @doc "What is written in the table of a client under a key."
  @spec lookup(atom, atom | {atom, tuple}) :: {:ok, term} | :error
  def lookup(name, key) do
    case :ets.lookup(name, key) do
      [{^key, value}] -> {:ok, value}
      [] -> :error
    end
  rescue
    ArgumentError -> :error
  end

  @doc "Writes into the table of a client."
  @spec note(t, atom | {atom, tuple}, term) :: :ok
  def note(client, key, value) do
    true = :ets.insert(client.name, {key, value})
    :ok
  end

  @doc "Strikes out of the table of a client."
  @spec forget(t, atom | {atom, tuple}) :: :ok
  def forget(client, key) do
    true = :ets.delete(client.name, key)
    :ok
  end

  @doc "What is written under a key for each of several daemons."
  @spec each(t, atom) :: [{tuple, term}]
  def each(client, key) do
    for [address, value] <- :ets.match(client.name, {{key, :"$1"}, :"$2"}), do: {address, value}
  rescue
    ArgumentError -> []
  end

  @doc "Strikes it out if it says this still."
  @spec forget(t, {atom, tuple}, term) :: :ok
  def forget(client, key, value) do
    true = :ets.delete_object(client.name, {key, value})
    :ok
  end
end
