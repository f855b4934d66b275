defmodule Sidewinder.Channel.Settings do
  @moduledoc """
  The options of a channel: one table, from which they are checked, completed and documented.
  """

  @options [
    name: {:required, :name, "what the channel is called; an atom"},
    endpoints:
      {:required, :endpoints,
       "`{:unix, path}`, `{:tcp, host, port}`, `{:tls, host, port, ssl_opts}`, and names with any number of addresses, " <>
         "`{:dns, host, port}`, `{:srv, name}`, both with `ssl_opts` behind them for TLS"},
    size: {1, 1..1_000, "connections to each address"},
    backoff:
      {[min: 100, max: 5_000], [min: 1..3_600_000, max: 1..3_600_000],
       "milliseconds before a connection that failed is tried again: the pause doubles from `min` to `max`"},
    connect_timeout: {5_000, 1..3_600_000, "milliseconds until a connection must be ready"},
    send_timeout: {10_000, 1..3_600_000, "milliseconds that writing to a socket may take"},
    keepalive:
      {[every: 10_000, patience: 5_000], [every: 1..3_600_000, patience: 1..3_600_000],
       "a server that was silent for `every` milliseconds is asked, and given up without an answer in `patience`"},
    max_waiting: {10_000, 0..10_000_000, "calls that may wait for a stream on a connection, and for a connection"},
    window: {262_144, 1..0x7FFF_FFFF, "bytes of a stream that may be unread"},
    connection_window: {4_194_304, 65_535..0x7FFF_FFFF, "bytes in flight on a connection"},
    fields_max: {131_072, 1_024..0x7FFF_FFFF, "bytes of fields in one answer"},
    max_message: {67_108_864, 1..0xFFFF_FFFF, "bytes of one message of an answer"},
    resolve_every:
      {30_000, 10..86_400_000,
       "milliseconds after which names are asked for again; the loss of a connection asks sooner"},
    dns: {[], :any, "options of `:inet_res`, such as `nameservers`, instead of the machine's own way"},
    health:
      {nil, :service,
       "a service whose health is watched at each address (`grpc.health.v1`), `\"\"` for the whole server: an address " <>
         "that does not serve gets no calls; `nil` for no watching"},
    breaker:
      {[failures: 5, cooldown: 1_000], [failures: 0..1_000_000, cooldown: 1..3_600_000],
       "where there are several addresses, one that lost so many calls in a row gets none for so many milliseconds, and " <>
         "then one to try; 0 failures for never"}
  ]

  @connection [:connect_timeout, :send_timeout, :keepalive, :max_waiting, :window, :connection_window, :fields_max]

  @doc "The options as a list in Markdown."
  @spec docs() :: String.t()
  def docs do
    Enum.map_join(@options, "\n", fn
      {name, {:required, _, text}} -> "- `#{name}`: #{text}. Required."
      {name, {default, _, text}} -> "- `#{name}`: #{text}. `#{inspect(default)}`."
    end)
  end

  @doc "The options, checked and complete; raises an `ArgumentError` that says what is wrong."
  @spec complete!(keyword) :: map
  def complete!(given) do
    unknown = Keyword.keys(given) -- Keyword.keys(@options)
    if unknown != [], do: wrong("there is no option #{inspect(hd(unknown))}; there are #{names()}")
    settings = Map.new(@options, fn {name, option} -> {name, one(name, option, given)} end)
    Map.put(settings, :connection, Map.take(settings, @connection))
  end

  defp names, do: @options |> Keyword.keys() |> Enum.map_join(", ", &to_string/1)

  defp one(name, {:required, kind, _}, given) do
    if not Keyword.has_key?(given, name), do: wrong("#{name} is required")
    check(name, kind, given[name])
  end

  defp one(name, {default, kinds, _}, given) when is_list(kinds) do
    value = Keyword.get(given, name, [])
    fits = Keyword.keyword?(value) and Keyword.keys(value) -- Keyword.keys(kinds) == []
    if not fits, do: wrong("#{name} takes #{inspect(Keyword.keys(kinds))}, not #{inspect(value)}")
    whole = Keyword.merge(default, value)
    for {part, kind} <- kinds, do: check("#{name}: #{part}", kind, whole[part])
    whole
  end

  defp one(name, {default, kind, _}, given), do: check(name, kind, Keyword.get(given, name, default))

  defp check(_, first..last//_, value) when is_integer(value) and value >= first and value <= last, do: value
  defp check(name, first..last//_, value), do: wrong("#{name}: #{inspect(value)} is no number from #{first} to #{last}")
  defp check(_, :any, value), do: value
  defp check(_, :name, value) when is_atom(value) and value != nil, do: value
  defp check(_, :service, value) when value == nil or (is_binary(value) and byte_size(value) < 128), do: value
  defp check(name, :endpoints, [_ | _] = endpoints), do: Enum.map(endpoints, &endpoint(name, &1))
  defp check(name, _, value), do: wrong("#{name}: #{inspect(value)} is not what belongs there")

  defp endpoint(_, {:unix, path} = endpoint) when is_binary(path), do: endpoint

  defp endpoint(_, {kind, host, port} = endpoint) when kind in [:tcp, :dns] and port in 1..65_535 and host != nil,
    do: endpoint

  defp endpoint(_, {kind, host, port, tls} = endpoint)
       when kind in [:tls, :dns] and port in 1..65_535 and is_list(tls) and host != nil,
       do: endpoint

  defp endpoint(_, {:srv, name} = endpoint) when is_binary(name), do: endpoint
  defp endpoint(_, {:srv, name, tls} = endpoint) when is_binary(name) and is_list(tls), do: endpoint
  defp endpoint(name, other), do: wrong("#{name}: #{inspect(other)} is no endpoint")

  defp wrong(what), do: raise(ArgumentError, "a channel cannot be made of these options: #{what}")
end
