defmodule Sidewinder.Call.Ask do
  @moduledoc """
  One call as its caller wants it, checked as far as it can be checked here, and its request as bytes.

  Arguments are a map or a keyword list by name, a list by place, or bytes as they are when the content type is none that
  carries data. They are packed once, also when the call is tried again.
  """

  alias Sidewinder.{Client, Error, Lease, Options, Proto, Session, Value}

  @enforce_keys [:client, :tool, :call, :encoder, :deadline, :retries]
  defstruct @enforce_keys ++ [:kind, :arguments, :started, headers: []]

  @type t :: %__MODULE__{}

  @priorities %{low: :PRIORITY_LOW, normal: :PRIORITY_NORMAL, high: :PRIORITY_HIGH}
  @abandon %{cancel: :ON_ABANDON_CANCEL, finish: :ON_ABANDON_FINISH}
  @modes %{
    nil => :AFFINITY_MODE_UNSPECIFIED,
    hint: :AFFINITY_MODE_HINT,
    strict_queue: :AFFINITY_MODE_STRICT_QUEUE,
    strict_fail_fast: :AFFINITY_MODE_STRICT_FAIL_FAST
  }

  @doc "What is asked. Options that make no sense raise; a value that cannot be carried is an error."
  @spec new(atom, Client.t() | Session.t() | atom, String.t(), term, keyword) :: {:ok, t} | {:error, Error.t()}
  def new(kind, %Session{} = session, tool, arguments, options),
    do: new(kind, session.client, tool, arguments, Keyword.merge(session.options, options))

  def new(kind, client, tool, arguments, options) do
    client = Client.fetch!(client)
    options = Options.call!(options)
    if not is_binary(tool), do: raise(ArgumentError, "a tool is named by text, and this is #{inspect(tool, limit: 3)}")
    {:ok, encoder} = if type = options[:content_type], do: Value.named(type), else: {:ok, client.encoder}
    now = System.monotonic_time(:millisecond)

    ask = %__MODULE__{
      kind: kind,
      client: client,
      tool: tool,
      call: call(tool, client, options),
      encoder: encoder,
      deadline: deadline(options[:timeout] || client.options.timeout, now),
      retries: options[:retries] || client.options.retries,
      headers: if(parent = options[:traceparent], do: [{"traceparent", parent}], else: []),
      started: now
    }

    with {:ok, payload} <- payload(ask, named(arguments, encoder)), do: {:ok, %{ask | arguments: payload}}
  end

  # Most say nothing.
  defp call(tool, client, options) when options == %{}, do: %Proto.Call{tool: tool, pool: client.options.pool || ""}

  defp call(tool, client, options) do
    %Proto.Call{
      tool: tool,
      pool: options[:pool] || client.options.pool || "",
      affinity: affinity(options),
      idempotency_key: options[:idempotency_key] || "",
      priority: Map.get(@priorities, options[:priority], :PRIORITY_UNSPECIFIED),
      on_abandon: Map.get(@abandon, options[:on_abandon], :ON_ABANDON_UNSPECIFIED),
      metadata: options[:metadata] || %{}
    }
  end

  defp affinity(%{affinity: key} = options),
    do: %Proto.Affinity{key: key, mode: Map.fetch!(@modes, options[:affinity_mode])}

  defp affinity(_options), do: nil

  defp deadline(:infinity, _now), do: :infinity
  defp deadline(timeout, now), do: now + timeout

  # Names are what a keyword list means here, and nothing is lost by it: lists of pairs cannot be carried otherwise.
  defp named([{key, _} | _] = arguments, _encoder) when is_atom(key) do
    keys = Keyword.keys(arguments)
    twice = keys -- Enum.uniq(keys)
    if twice != [], do: raise(ArgumentError, "the argument #{hd(twice)} is given twice"), else: Map.new(arguments)
  end

  defp named(nil, {Value.Raw, _}), do: ""
  defp named(arguments, {Value.Raw, _}) when arguments == %{}, do: ""
  defp named(nil, _encoder), do: %{}
  defp named(arguments, _encoder), do: arguments

  @doc "A value in the content type of the call."
  @spec payload(t, term) :: {:ok, Proto.Payload.t()} | {:error, Error.t()}
  def payload(%{encoder: {module, content_type}} = ask, value) do
    case module.encode(value) do
      {:ok, data} ->
        {:ok, %Proto.Payload{data: data, content_type: content_type}}

      {:error, what} ->
        {:error, %{failure(ask, :unencodable, :invalid_argument, what) | ran: :no}}
    end
  end

  @doc "What a payload says."
  @spec value(t, nil | Proto.Payload.t()) :: {:ok, term} | {:error, Error.t()}
  def value(_ask, nil), do: {:ok, nil}

  def value(ask, payload) do
    with {:error, what} <- Value.decode(payload.content_type, payload.data, ask.client.further),
         do: {:error, unreadable(ask, what)}
  end

  @doc "The error of a payload that cannot be read."
  @spec unreadable(t, String.t()) :: Error.t()
  def unreadable(ask, what), do: failure(ask, :undecodable, :data_loss, "the answer cannot be read: #{what}")

  @doc "An error that this library itself finds."
  @spec failure(t, atom, atom, String.t()) :: Error.t()
  def failure(ask, reason, code, what) do
    pool = if ask.call.pool != "", do: ask.call.pool
    %Error{reason: reason, code: code, message: what, tool: ask.tool, pool: pool}
  end

  @doc "An error from a status."
  @spec error(t, map) :: Error.t()
  def error(ask, status) do
    case unattached(ask.client, status) do
      nil -> Error.from_status(status, tool: ask.tool, pool: ask.call.pool)
      error -> %{error | tool: ask.tool}
    end
  end

  # No daemon was called: because none wants us?
  defp unattached(%{leases: :each} = client, %{sent: :no, under: nil}), do: Lease.refused(client)
  defp unattached(_client, _status), do: nil

  @doc "What a call was made under, that was to be made under this."
  @spec used(map, Lease.under()) :: Lease.used()
  def used(%{under: {address, said}}, :each), do: {:each, address, said}
  def used(_status, under), do: under

  @doc "Bytes that say a lease; where there are several daemons, as a function of the lease of the one that is called."
  @spec packed(Lease.under(), (nil | Lease.said() -> iodata)) :: iodata | (nil | Lease.said() -> iodata)
  def packed(:each, pack), do: pack
  def packed(said, pack), do: pack.(said)

  @doc "The request, under this lease."
  @spec request(t, nil | Lease.said()) :: Proto.CallRequest.t()
  def request(ask, said), do: %Proto.CallRequest{call: leased(ask.call, said), arguments: ask.arguments}

  defp leased(call, nil), do: call
  defp leased(call, {lease, epoch}), do: %{call | lease: lease, epoch: epoch}

  @doc "What the channel needs to know."
  @spec transport_options(t, Lease.under()) :: keyword
  def transport_options(ask, under) do
    options = [deadline: ask.deadline, metadata: ask.headers, wait: ask.client.options.wait]
    if under == :each, do: [under: &Lease.held(ask.client, &1)] ++ options, else: options
  end
end
